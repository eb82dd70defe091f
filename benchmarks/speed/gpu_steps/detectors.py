"""Detectors with random weights, as MMDetection and as lt_det have them, and batches for them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

# isort: split
import cv2
import numpy as np
import torch
from common.origin import ROOT
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

from lt_det.datasets.compact_masks import CompactMasks
from lt_det.engine import BackboneHook, RecomputeHook
from lt_det.frequency import ClassFrequency
from lt_det.frequency_module import frequency_modules

from .context import Context

IIF = dict(type='IIF', link='raw', count='image')
BOX_HEAD = 'model.roi_head.bbox_head.'


def num_classes(context: Context) -> int:
    return context.pick(1203, 30)


def methods(classes: int) -> dict[str, dict]:
    """What the methods change in the config, by key."""

    def loss(name: str, **kwargs) -> dict:
        new = dict(_delete_=True, type=name, num_classes=classes, **kwargs)
        return {BOX_HEAD + 'loss_cls': new}

    return {
        'softmax': {},
        'IIF': {BOX_HEAD + 'adjustment': IIF},
        'Seesaw': {
            BOX_HEAD + 'cls_predictor_cfg': dict(type='NormedLinear', temperature=20),
            **loss('LongTailSeesawLoss', p=0.8, q=2.0),
        },
        'EQLv2': loss('LongTailEQLV2Loss'),
        'Federated': loss('FederatedLoss', num_sampled=min(50, classes)),
        'GOL': loss('GumbelLoss'),
        'FASA': {
            BOX_HEAD + 'type': 'FASABBoxHead',
            BOX_HEAD + 'adjustment': IIF,
            BOX_HEAD + 'fasa': dict(begin=0),
        },
        'CAM calibration': {
            'model.roi_head.type': 'CAMCalibratedRoIHead',
            BOX_HEAD + 'adjustment': IIF,
        },
    }


STOCK = {
    BOX_HEAD + 'type': 'ConvFCBBoxHead',
    'model.roi_head.mask_head.type': 'FCNMaskHead',
    'model.roi_head.bbox_roi_extractor.type': 'SingleRoIExtractor',
    'model.roi_head.mask_roi_extractor.type': 'SingleRoIExtractor',
    'model.train_cfg.rpn.assigner.type': 'MaxIoUAssigner',
    'model.data_preprocessor.non_blocking': False,
    'model.rpn_head.type': 'RPNHead',
    'model.train_cfg.rpn.sampler.type': 'RandomSampler',
    'model.train_cfg.rcnn.assigner.type': 'MaxIoUAssigner',
}
SMALL = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.neck.in_channels': [8, 16, 32, 64],
    'model.neck.out_channels': 16,
    'model.rpn_head.in_channels': 16,
    'model.rpn_head.feat_channels': 16,
    'model.roi_head.bbox_roi_extractor.out_channels': 16,
    'model.roi_head.mask_roi_extractor.out_channels': 16,
    BOX_HEAD + 'in_channels': 16,
    BOX_HEAD + 'fc_out_channels': 32,
    'model.roi_head.mask_head.in_channels': 16,
    'model.roi_head.mask_head.conv_out_channels': 16,
}


def build(
    context: Context,
    changes: dict,
    from_scratch: bool = False,
    classes: int | None = None,
    fold_norms: bool = False,
    recompute: Sequence[str] = (),
) -> nn.Module:
    """Mask R-CNN R50-FPN of the LVIS configs on the device; small in a dry run.

    Args:
        context: The setting.
        changes: Keys and values of the config.
        from_scratch: Whether every layer trains, with norms that allow it.
        classes: C. Default: that of LVIS, or of a dry run.
        fold_norms: Whether norms of the backbone are part of its weights.
        recompute: Parts that are computed anew in the backward pass.
    """
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/mask_rcnn_r50_fpn_lvis.py')
    classes = classes or num_classes(context)
    keys = {
        'model.backbone.init_cfg': None,  # nothing is downloaded
        BOX_HEAD + 'num_classes': classes,
        'model.roi_head.mask_head.num_classes': classes,
        **(SMALL if context.toy else {}),
        **changes,
    }
    if from_scratch:
        norm = dict(type='GN', num_groups=context.pick(32, 4), requires_grad=True)
        keys |= {'model.backbone.frozen_stages': -1, 'model.backbone.norm_eval': False}
        keys |= {'model.neck.norm_cfg': norm, 'model.roi_head.mask_head.norm_cfg': norm}
    cfg.merge_from_dict(keys)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    counts = np.geomspace(2000, 1, classes).astype(int)
    for module in frequency_modules(model):
        module.set_class_frequency(ClassFrequency(counts, num_images=100_000))
    if fold_norms:
        BackboneHook(fold_norms=True).before_run(SimpleNamespace(model=model))
    if recompute:
        RecomputeHook(recompute).before_run(SimpleNamespace(model=model))
    return model.to(context.device)


def make_batch(
    number: int, size: tuple[int, int], objects: int, classes: int, seed: int = 0, stock=False
) -> dict:
    """Images of noise with ellipses in the colours of their classes, which are long-tailed.

    Args:
        number: B.
        size: Height and width.
        objects: Of each image.
        classes: C.
        seed: Of everything drawn.
        stock: Whether masks are MMDetection's bitmaps.

    Returns:
        ``inputs`` and ``data_samples``, on the CPU, for a data preprocessor.
    """
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(0).integers(0, 256, (classes, 3))
    share = np.geomspace(2000, 1, classes)
    height, width = size
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    images, samples = [], []
    for index in range(number):
        image = rng.integers(96, 160, (height, width, 3), dtype=np.uint8)
        labels = rng.choice(classes, objects, p=share / share.sum())
        radius = rng.uniform(0.04, 0.2, (objects, 2)) * min(size)
        centre = radius + rng.random((objects, 2)) * ([width - 1, height - 1] - 2 * radius)
        circle = np.stack([np.cos(angle), np.sin(angle)], 1)
        outlines = centre[:, None] + radius[:, None] * circle
        for label, outline in zip(labels, outlines):
            cv2.fillPoly(image, [outline.astype(np.int32)], colours[label].tolist())
        boxes = np.concatenate([outlines.min(1), outlines.max(1)], 1).astype(np.float32)
        masks = CompactMasks.from_segmentations([[o.ravel().tolist()] for o in outlines], *size)
        if stock:
            masks = BitmapMasks(masks.masks, *size)
        meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=dict(img_id=index + 1, **meta))
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes), labels=torch.from_numpy(labels), masks=masks
        )
        samples.append(sample)
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
    return dict(inputs=images, data_samples=samples)
