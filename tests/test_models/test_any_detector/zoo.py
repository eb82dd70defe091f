"""Detectors of MMDetection's own configs, made small enough to train a step in a test."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import DIIHead
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_det.frequency import ClassFrequency

C = 5
FREQUENCY = ClassFrequency([40, 20, 9, 3, 1], [90, 30, 9, 4, 2], 50)


@dataclass(frozen=True)
class Family:
    """One kind of detector.

    Args:
        config: In MMDetection's configs.
        head: Path of the (first) head with class logits.
        classifiers: Paths of all layers that the training of classes reads.
        at_test: Of those that scores come from.
        sigmoid: Whether scores are independent sigmoids.
        masks: Whether it is trained with masks.
        changes: To the model config, beyond what all get.
    """

    config: str
    head: str
    classifiers: list[str]
    at_test: list[str] | None = None
    sigmoid: bool = True
    masks: bool = False
    changes: dict = field(default_factory=dict)


def stages(number: int) -> list[str]:
    return [f'roi_head.bbox_head.{stage}.fc_cls' for stage in range(number)]


def branches(*numbers: int) -> list[str]:
    return [f'bbox_head.cls_branches.{number}' for number in numbers]


FAMILIES = {
    'RetinaNet': Family(
        'retinanet/retinanet_r50_fpn_1x_coco', 'bbox_head', ['bbox_head.retina_cls']
    ),
    'FCOS': Family('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco', 'bbox_head', ['bbox_head.conv_cls']),
    'ATSS': Family('atss/atss_r50_fpn_1x_coco', 'bbox_head', ['bbox_head.atss_cls']),
    'PAA': Family('paa/paa_r50_fpn_1x_coco', 'bbox_head', ['bbox_head.atss_cls']),
    'GFL': Family('gfl/gfl_r50_fpn_1x_coco', 'bbox_head', ['bbox_head.gfl_cls']),
    'RTMDet': Family(
        'rtmdet/rtmdet_tiny_8xb32-300e_coco',
        'bbox_head',
        [f'bbox_head.rtm_cls.{level}' for level in range(3)],
    ),
    'RTMDet-Ins': Family(
        'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco',
        'bbox_head',
        [f'bbox_head.rtm_cls.{level}' for level in range(3)],
        masks=True,
    ),
    'YOLOX': Family(
        'yolox/yolox_tiny_8xb8-300e_coco',
        'bbox_head',
        [f'bbox_head.multi_level_conv_cls.{level}' for level in range(3)],
    ),
    'YOLOF': Family('yolof/yolof_r50-c5_8xb8-1x_coco', 'bbox_head', ['bbox_head.cls_score']),
    'DETR': Family(
        'detr/detr_r50_8xb2-150e_coco', 'bbox_head', ['bbox_head.fc_cls'], sigmoid=False
    ),
    'Conditional DETR': Family(
        'conditional_detr/conditional-detr_r50_8xb2-50e_coco', 'bbox_head', ['bbox_head.fc_cls']
    ),
    'DAB-DETR': Family('dab_detr/dab-detr_r50_8xb2-50e_coco', 'bbox_head', ['bbox_head.fc_cls']),
    'Deformable DETR': Family(
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco', 'bbox_head', branches(0)
    ),
    'Deformable DETR, two stages': Family(
        'deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco',
        'bbox_head',
        branches(0, 1),
        branches(1),
    ),
    'DINO': Family('dino/dino-4scale_r50_8xb2-12e_coco', 'bbox_head', branches(0, 1), branches(1)),
    'DDQ': Family(
        'ddq/ddq-detr-4scale_r50_8xb2-12e_coco',
        'bbox_head',
        [*branches(0, 1), *(f'bbox_head.aux_cls_branches.{layer}' for layer in range(2))],
        branches(1),
    ),
    'Sparse R-CNN': Family(
        'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco', 'roi_head.bbox_head.1', stages(2)
    ),
    'QueryInst': Family(
        'queryinst/queryinst_r50_fpn_1x_coco',
        'roi_head.bbox_head.1',
        stages(2),
        masks=True,
        changes=dict(test_cfg=dict(rcnn=dict(max_per_img=8))),
    ),
    'MaskFormer': Family(
        'maskformer/maskformer_r50_ms-16xb1-75e_coco',
        'panoptic_head',
        ['panoptic_head.cls_embed'],
        sigmoid=False,
        masks=True,
        changes=dict(test_cfg=dict(panoptic_on=False, instance_on=True)),
    ),
    'Mask2Former': Family(
        'mask2former/mask2former_r50_8xb2-lsj-50e_coco',
        'panoptic_head',
        ['panoptic_head.cls_embed'],
        sigmoid=False,
        masks=True,
    ),
    'SOLOv2': Family(
        'solov2/solov2_r50_fpn_1x_coco',
        'mask_head',
        ['mask_head.conv_cls'],
        masks=True,
        changes=dict(
            mask_head=dict(feat_channels=32, num_grids=[8, 6, 4, 3, 2]),
            test_cfg=dict(mask_thr=0.0, filter_thr=0.0),
        ),
    ),
    'Faster R-CNN': Family(
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco',
        'roi_head.bbox_head',
        ['roi_head.bbox_head.fc_cls'],
        sigmoid=False,
    ),
    'Mask R-CNN': Family(
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco',
        'roi_head.bbox_head',
        ['roi_head.bbox_head.fc_cls'],
        sigmoid=False,
        masks=True,
    ),
    'Cascade R-CNN': Family(
        'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco',
        'roi_head.bbox_head.0',
        stages(3),
        sigmoid=False,
    ),
    'HTC': Family(
        'htc/htc-without-semantic_r50_fpn_1x_coco',
        'roi_head.bbox_head.0',
        stages(3),
        sigmoid=False,
        masks=True,
    ),
}


_WIDE = ('Conditional DETR', 'Deformable DETR, two stages')  # 256 channels are in their code
_AT_MOST = dict(
    num_stuff_classes=0,
    score_thr=0.0,
    stacked_convs=1,
    num_layers=2,
    num_queries=20,
    num_proposals=8,
    pad_size_divisor=32,
    fc_out_channels=32,
    feedforward_channels=64,
    nms_pre=200,
    max_per_img=20,
    num=32,  # RoIs
    num_points=64,
)


def model_config(name: str, **changes: Any) -> ConfigDict:
    """The model of a family for C classes, with two layers or stages where it has six or more."""
    family = FAMILIES[name]
    model = ConfigDict(_small(_config(family.config), narrow=name not in _WIDE))
    if 'ResNet' in model.backbone.type:
        model.backbone = dict(
            type='ResNet',
            depth=18,
            base_channels=8,
            stem_channels=8,
            out_indices=model.backbone.get('out_indices', (0, 1, 2, 3)),
            norm_cfg=dict(type='BN'),
            norm_eval=True,
        )
    model.backbone.init_cfg = None
    model.data_preprocessor.pop('batch_augments', None)
    roi_head = model.get('roi_head', {})
    if roi_head.get('type') == 'SparseRoIHead':
        roi_head.update(num_stages=2, stage_loss_weights=[1, 1])
        for part in ('bbox_head', 'mask_head'):
            roi_head.update({part: roi_head[part][:2]} if part in roi_head else {})
        model.train_cfg.rcnn = model.train_cfg.rcnn[:2]
    for change in (family.changes, changes):
        _merge(model, change)
    return model


@cache
def _config(name: str) -> ConfigDict:
    return get_config(f'mmdet::{name}.py').model


def _merge(model: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(model.get(key), dict) and 'type' not in value:
            _merge(model[key], value)
        else:
            model[key] = copy.deepcopy(value)


def _small(node: Any, narrow: bool, key: str = '') -> Any:
    if isinstance(node, dict):
        node = {name: _small(value, narrow, name) for name, value in node.items()}
        kind = str(node.get('type'))
        if kind in ('FCNMaskHead', 'HTCMaskHead', 'DynamicMaskHead'):
            node['num_convs'] = 1
        if kind == 'DynamicConv':
            node['feat_channels'] = 8
        if narrow and kind.endswith(('DETRHead', 'DINOHead')):
            node['embed_dims'] = 64
        return node
    if isinstance(node, (list, tuple)):
        if key == 'in_channels':  # of the neck: a ResNet of width 8, not 64 times 4
            return [channels // 32 for channels in node] if max(node) > 500 else node
        if key == 'class_weight':
            return [1.0] * C + [node[-1]]
        return [_small(value, narrow, key) for value in node]
    if key in ('num_classes', 'num_things_classes'):
        return C if node >= 80 else node
    if key == 'in_channels' and node == 2048:
        return 64
    if narrow and node == 256 and key != 'num':  # channels between the parts
        return 64
    if narrow and key == 'num_feats':  # half of them
        return node // 4
    return min(node, _AT_MOST[key]) if key in _AT_MOST else node


def built(name: str, seed: int = 0, **changes: Any) -> nn.Module:
    """A detector of the family with random weights of a seed, statistics set."""
    register_all_modules(init_default_scope=True)
    torch.manual_seed(seed)
    detector = MODELS.build(model_config(name, **changes))
    MMLogger.get_current_instance().setLevel('ERROR')  # each parameter has a line of its own
    detector.init_weights()
    for module in detector.modules():
        if hasattr(module, 'set_class_frequency'):
            module.set_class_frequency(FREQUENCY)
        if isinstance(module, DIIHead):  # MMDetection pastes no masks of boxes outside of images
            nn.init.zeros_(module.fc_reg.weight)
    return revert_sync_batchnorm(detector)  # which is for GPUs alone


def adjusted(name: str, adjustment: Any, **changes: Any) -> nn.Module:
    """The same through ``LongTail``."""
    kind = model_config(name).type
    return built(name, type='LongTail', detector=kind, adjustment=adjustment, **changes)


def batch(name: str, size: int = 2) -> dict:
    """Random images with boxes and masks."""
    return demo_mm_inputs(
        size,
        [[3, 64, 64]] * size,
        num_items=[3] * size,
        num_classes=C,
        with_mask=FAMILIES[name].masks,
    )


def in_training(detector: nn.Module) -> nn.Module:
    """In training mode without batch statistics and dropout: a step tells of the images alone."""
    detector.train()
    for module in detector.modules():
        if isinstance(module, (_BatchNorm, nn.Dropout)):
            module.eval()
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return detector


def losses(detector: nn.Module, name: str, size: int = 2) -> dict[str, torch.Tensor]:
    """Losses of a training step, by name."""
    torch.manual_seed(1)  # of samplers, denoising and the points of masks
    data = detector.data_preprocessor(batch(name, size), training=True)
    computed = in_training(detector)(**data, mode='loss')
    flat = {}
    for key, value in computed.items():
        for index, loss in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            flat[f'{key}.{index}'] = loss
    return flat


@torch.no_grad()
def detections(detector: nn.Module, name: str, size: int = 2) -> list:
    """Predicted instances of each image."""
    torch.manual_seed(1)
    data = detector.data_preprocessor(batch(name, size), training=False)
    return [sample.pred_instances for sample in detector.eval()(**data, mode='predict')]
