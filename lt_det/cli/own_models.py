"""The models that ``lt_det init`` offers: where their configs have classes, and how they train."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

from . import methods
from .config_code import Code, changed
from .methods import Method

SCRATCH = dict(frozen_stages=-1, norm_eval=False)


@dataclass(frozen=True)
class Model:
    """What a base in ``configs/custom`` is like.

    Args:
        heads: Where classes are: ``'roi'``, ``'cascade'`` (a list of box heads), ``'dense'``
            (``bbox_head``), ``'stages'`` (a list, adjusted by ``LongTail``) or ``'panoptic'``.
        methods: Those it can have, by name.
        scores: What makes scores of its logits, for messages.
        masks: Whether it finds masks.
        polygons: Whether it learns masks from polygons alone.
        lr, batch: Learning rate of its config for so many images per iteration.
        loss_weight: That of its class loss.
        imagenet: ``init_cfg`` of its backbone.
        scratch: Keys of a backbone without weights, of which nothing is frozen.
        switches: Whether it changes its pipeline in the last epochs.
    """

    heads: str
    methods: dict[str, Method]
    scores: str
    masks: bool = False
    polygons: bool = False
    lr: float = 0.02
    batch: int = 16
    loss_weight: float = 1.0
    imagenet: dict = field(default_factory=dict)
    scratch: dict = field(default_factory=lambda: SCRATCH)
    switches: bool = False


def _resnet(depth: int | str, kind: str = 'torchvision://resnet') -> dict:
    return dict(type='Pretrained', checkpoint=f'{kind}{depth}')


def _sigmoid(heads: str = 'dense', **values) -> Model:
    base = dict(methods=methods.SIGMOID, scores='independent sigmoids', imagenet=_resnet(50))
    return Model(heads, **{**base, **values})


def _roi(backbone: str, masks: bool, heads: str = 'roi') -> Model:
    weights = _resnet(backbone[1:])
    if backbone[0] == 'x':
        weights = _resnet(backbone[1:], 'open-mmlab://resnext')
    offered = methods.SOFTMAX
    if not masks:
        offered = {name: method for name, method in offered.items() if not method.paste}
    if heads == 'cascade':
        # with a rule and a pipeline, the config of a list of heads would be longer than others
        offered = {
            name: method
            for name, method in offered.items()
            if method.roi_head is None and not (method.paste and method.head)
        }
    return Model(heads, offered, 'one softmax', masks, imagenet=weights)


# frozen batch normalisation learns, too
_DETR_SCRATCH = dict(SCRATCH, norm_cfg=dict(requires_grad=True))
MODELS: dict[str, Model] = {
    'atss_r50': _sigmoid(lr=0.01),
    'cascade_mask_rcnn_r50': _roi('r50', True, 'cascade'),
    'cascade_rcnn_r50': _roi('r50', False, 'cascade'),
    'deformable_detr_r50': _sigmoid(lr=2e-4, batch=32, loss_weight=2.0, scratch=_DETR_SCRATCH),
    'dino_r50': _sigmoid(lr=1e-4, scratch=_DETR_SCRATCH),
    'faster_rcnn_r101': _roi('r101', False),
    'faster_rcnn_r50': _roi('r50', False),
    'mask2former_r50': Model(
        'panoptic',
        methods.QUERY_SOFTMAX,
        'one softmax, of queries',
        masks=True,
        lr=1e-4,
        loss_weight=2.0,
        imagenet=_resnet(50),
        scratch=_DETR_SCRATCH,
    ),
    'mask_rcnn_r101': _roi('r101', True),
    'mask_rcnn_r18': _roi('r18', True),
    'mask_rcnn_r50': _roi('r50', True),
    'mask_rcnn_x101_32x4d': _roi('x101_32x4d', True),
    'retinanet_r50': _sigmoid(lr=0.01),
    'rtmdet_ins_s': _sigmoid(
        methods=methods.QUALITY,
        scores='sigmoids trained towards the overlap of boxes',
        masks=True,
        polygons=True,
        lr=0.004,
        batch=256,
        imagenet=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='https://mmassets.onedl.ai/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/'
            'cspnext-s_imagenet_600e.pth',
        ),
        scratch={},
        switches=True,
    ),
    'sparse_rcnn_r50': _sigmoid('stages', lr=2.5e-5, loss_weight=2.0),
}


def model_config(model: str, method: Method, num_classes: int, weights: str | None) -> dict:
    """``model`` of a config for a number of classes."""
    own = MODELS[model]
    config: dict = {}
    if weights == 'imagenet':
        config['backbone'] = dict(init_cfg=dict(_delete_=True, **own.imagenet))
    elif weights == 'none':  # from scratch nothing is frozen
        config['backbone'] = dict(init_cfg=None, **own.scratch)
    if own.heads in ('roi', 'cascade'):
        return {**config, **_roi_head(own, method, num_classes)}
    if 'adjustment' in method.head:
        config['adjustment'] = method.head['adjustment']
    if own.heads == 'panoptic':
        weight = Code(f'[1.0] * {num_classes} + [0.1]')  # of the background
        config['panoptic_head'] = dict(
            num_things_classes=num_classes, loss_cls=dict(class_weight=weight)
        )
        config['panoptic_fusion_head'] = dict(num_things_classes=num_classes)
    elif own.heads == 'stages':
        head = dict(num_classes=num_classes, **_loss(own, method, num_classes))
        config['roi_head'] = dict(bbox_head=_each(head))
    else:
        config['bbox_head'] = dict(num_classes=num_classes, **_loss(own, method, num_classes))
    return config


def _roi_head(own: Model, method: Method, num_classes: int) -> dict:
    """Box heads of our own, which have the adjustment."""
    head = dict(num_classes=num_classes, **method.head)
    cascade = own.heads == 'cascade'
    if 'loss_cls' in head:  # of another kind than the base's
        replace = {} if cascade else dict(_delete_=True)
        head['loss_cls'] = dict(**replace, **head['loss_cls'], num_classes=num_classes)
    roi_head: dict = {}
    if method.roi_head:
        roi_head['type'] = method.roi_head
    roi_head['bbox_head'] = _each(head) if cascade else head
    if own.masks:
        roi_head['mask_head'] = dict(num_classes=num_classes)
    return dict(roi_head=roi_head)


def _each(head: dict) -> Code:
    """A list of the base's box heads, with other values."""
    each = changed('head', head)
    return Code(f'[{each}\n        for head in _base_.model.roi_head.bbox_head]')


def _loss(own: Model, method: Method, num_classes: int) -> dict:
    """``loss_cls`` of heads with sigmoids; ``LongTail`` fills in the number of classes."""
    loss = method.head.get('loss_cls')
    if loss is None:
        return {}
    if loss['type'] == 'EqualizedFocalLoss':  # a focal loss with the numbers of the base's
        stages = own.heads == 'stages'
        return dict(loss_cls=changed('head.loss_cls', loss) if stages else loss)
    # 50 of 1203 in the paper; with all classes it would be plain cross-entropy
    sampled = min(50, ceil(num_classes / 3))
    replace = {} if own.heads == 'stages' else dict(_delete_=True)
    values = dict(num_sampled=sampled, loss_weight=own.loss_weight)
    return dict(loss_cls=dict(**replace, **loss, **values))
