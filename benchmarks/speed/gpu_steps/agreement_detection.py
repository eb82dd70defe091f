"""Cases of :mod:`agreement`: RoIs, masks, non-maximum suppression and a whole detector."""

from __future__ import annotations

import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

# isort: split
from collections.abc import Iterator

import numpy as np
import torch
from common.origin import ROOT
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor

from lt_det.datasets.compact_masks import CompactMasks
from lt_det.frequency_module import frequency_modules
from lt_det.models.roi_heads.lazy_masks import LazyMasks
from lt_det.models.roi_heads.topk_nms import topk_multiclass_nms
from lt_det.models.task_modules import QuickRandomSampler, VectorizedMaxIoUAssigner

from .agreement import Sizes, case
from .agreement_losses import frequency, with_gradients


def boxes_in(number: int, height: int, width: int) -> Tensor:
    """Boxes (N, 4) of 5 to a third of the image."""
    side = 5 + torch.rand(number, 2) * torch.tensor([width, height]) / 3
    corner = torch.rand(number, 2) * (torch.tensor([width, height]) - side)
    return torch.cat([corner, corner + side], 1)


def mask_head(
    kind: str, sizes: Sizes, device: torch.device, number: int, **arguments
) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    if 'HTC' in kind:
        arguments['with_conv_res'] = False
    channels = sizes.channels
    head = MODELS.build(
        dict(
            type=kind,
            num_classes=sizes.classes,
            in_channels=channels,
            conv_out_channels=channels,
            **arguments,
        )
    )
    head.init_weights()
    torch.nn.init.normal_(head.conv_logits.weight, std=0.05)
    features = torch.randn(number, channels, 14, 14)
    labels = torch.randint(sizes.classes, (number,))
    targets = torch.randint(2, (number, 28, 28)).float()
    head.to(device)
    features = features.to(device).requires_grad_()
    logits = head(features, return_feat=False) if 'HTC' in kind else head(features)
    logits = logits[0] if isinstance(logits, list) else logits
    logits = logits.at(labels.to(device))
    if number:
        zeros = torch.zeros(number, dtype=torch.long, device=device)
        loss = head.loss_mask(logits, targets.to(device), zeros).sum()
    else:
        loss = logits.sum()
    leaves = dict(features=features, predictor=head.conv_logits.weight)
    found = with_gradients(loss, **leaves) | {'value of logits': logits.detach()}
    return {name.replace('gradient', 'rectified gradient'): value for name, value in found.items()}


for _kind in ('ClassIndexedMaskHead', 'ClassIndexedHTCMaskHead'):
    for _share, _name in ((1 / 4, _kind), (0, f'{_kind} of no RoI')):
        case(_name)(
            lambda sizes, device, kind=_kind, share=_share: mask_head(
                kind, sizes, device, int(sizes.rois * share)
            )
        )


@case('ClassIndexedMaskHead, some RoIs at once')
def mask_head_in_parts(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    number = sizes.rois // 4
    arguments = dict(number=number, rois_at_once=number // 3)
    return mask_head('ClassIndexedMaskHead', sizes, device, **arguments)


@case('mask targets of CompactMasks')
def mask_targets(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    height, width, objects = 400, 600, 20
    outlines = boxes_in(objects, height, width).numpy()
    polygons = [[[x1, y1, x2, y1, (x1 + x2) / 2, y2]] for x1, y1, x2, y2 in outlines.tolist()]
    masks = CompactMasks.from_segmentations(polygons, height, width)
    chosen = torch.randint(objects, (sizes.rois,))
    boxes = torch.from_numpy(outlines)[chosen] + 3 * torch.randn(sizes.rois, 4)
    targets = masks.crop_and_resize(boxes.to(device), (28, 28), chosen.numpy(), device=device)
    return {'pixels of the targets': torch.from_numpy(targets.masks).to(device)}


@case('topk_multiclass_nms')
def suppression(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    objects = boxes_in(20, 800, 1333)
    proposals = 2 * sizes.rois
    boxes = objects[torch.randint(20, (proposals,)), None] + torch.randn(
        proposals, sizes.classes, 4
    )
    scores = (3 * torch.randn(proposals, sizes.classes)).softmax(1)
    boxes, scores = boxes.to(device), scores.to(device)
    found = {}
    for name, threshold in (('all', 0.0), ('some', 1e-3), ('none', 2.0)):
        results = topk_multiclass_nms(scores, lambda p, c: boxes[p, c], threshold, 0.5, 300)
        for kind, result in zip(('boxes', 'scores', 'labels'), results):
            found[f'{kind}, {name} above the threshold'] = result
    return found


@case('VectorizedMaxIoUAssigner')
def assigner(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    overlaps, labels = torch.rand(100, 50 * sizes.rois), torch.randint(sizes.classes, (100,))
    overlaps, labels = (overlaps * 64).round().div(64).to(device), labels.to(device)  # with ties
    found = {}
    for every in (True, False):
        assigner = VectorizedMaxIoUAssigner(0.7, 0.3, 0.3, gt_max_assign_all=every)
        result = assigner.assign_wrt_overlaps(overlaps, labels)
        found |= {f'objects, {every}': result.gt_inds, f'classes, {every}': result.labels}
    return found


@case('QuickRandomSampler')
def sampler(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    gallery = torch.arange(40_000, device=device)
    return {'boxes': QuickRandomSampler(num=256, pos_fraction=0.5).random_choice(gallery, 256)}


@case('LazyMasks')
def lazy_masks(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    boxes, probabilities = boxes_in(60, 480, 640), torch.rand(60, 1, 28, 28)
    masks = LazyMasks(probabilities.to(device), boxes.to(device), (480, 640), 0.5)
    rows = torch.arange(0, 60, 7, device=device)
    return {
        'pixels of chosen masks': masks[rows].pasted(),
        'pixels of one mask': masks[3],
        'pixels of all masks': masks.pasted(),
    }


@case('Float32RoIExtractor')
def rois(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    layer = MODELS.build(
        dict(
            type='Float32RoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=sizes.channels,
            featmap_strides=[4, 8, 16, 32],
        )
    )
    maps = [torch.randn(2, sizes.channels, 256 // s, 320 // s) for s in (4, 8, 16, 32)]
    boxes = torch.cat(
        [torch.randint(2, (sizes.rois, 1)).float(), boxes_in(sizes.rois, 256, 320)], 1
    ).to(device)
    weight = torch.randn(sizes.rois, sizes.channels, 7, 7).to(device)
    maps = [level.to(device).requires_grad_() for level in maps]
    loss = (layer(maps, boxes) * weight).square().mean()
    return with_gradients(loss, **{f'P{index + 2}': level for index, level in enumerate(maps)})


def detector(
    sizes: Sizes, device: torch.device, config: str, changes: dict | None = None
) -> dict[str, Tensor]:
    """Losses of a step of a detector of the glyph configs."""
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(ROOT / f'configs/glyphs/{config}.py')
    cfg.merge_from_dict(changes or {})
    cfg = cfg.model
    classes = next(_values(cfg, 'num_classes'))
    for part in (cfg, cfg.get('detector', {})):
        if isinstance(part, dict) and 'backbone' in part:
            part.backbone.init_cfg = None
    model = MODELS.build(cfg)
    model.init_weights()
    for module in frequency_modules(model):
        module.set_class_frequency(frequency(classes))
    np.random.seed(0)
    batch = demo_mm_inputs(2, [[3, 128, 160]] * 2, num_classes=classes, with_mask=True)
    model.to(device).train()
    torch.manual_seed(1)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    return {
        f'detector {name}': torch.stack(value) if isinstance(value, list) else value
        for name, value in losses.items()
        if 'loss' in name
    }


def _values(config: dict, key: str) -> Iterator:
    """Values of a key anywhere in a config."""
    for name, value in config.items():
        if name == key:
            yield value
        elif isinstance(value, dict):
            yield from _values(value, key)


_BOX_HEAD = 'model.roi_head.bbox_head.'
_MASK_RCNN = 'mask_rcnn_r18_iif_demo'
for _name, _config, _changes in (
    ('Mask R-CNN', _MASK_RCNN, {}),
    # without virtual features, which are drawn on the device
    (
        'Mask R-CNN with FASA',
        _MASK_RCNN,
        {_BOX_HEAD + 'type': 'FASABBoxHead', _BOX_HEAD + 'fasa': dict(begin=9)},
    ),
    (
        'Mask R-CNN with CAM calibration',
        _MASK_RCNN,
        {
            'model.roi_head.type': 'CAMCalibratedRoIHead',
            'model.roi_head.calibration': dict(label_prob=0.0),
        },
    ),
    ('RetinaNet', 'retinanet_r18_prior_shift_demo', {}),
):
    case(f'{_name}, losses of a step')(
        lambda sizes, device, config=_config, changes=_changes: detector(
            sizes, device, config, changes
        )
    )
