"""Mask targets of a batch: those of MMDetection, and how often the device is waited for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.ops.roi_align import roi_align
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from lt_det.datasets import mask_targets
from lt_det.datasets.compact_masks import CompactMasks
from lt_det.models.roi_heads import ClassIndexedHTCMaskHead, ClassIndexedMaskHead

from .test_compact_masks import Traffic

# sizes of images, their objects and their positive RoIs; one image has no RoI
MIXED = ([(90, 133), (64, 64), (120, 40), (33, 70)], [12, 3, 1, 5], [70, 9, 0, 4])
PADDED = ([(90, 133)] * 4, [30, 0, 9, 20], [200, 0, 60, 90])  # to one size, as in training


def outlines(rng: np.random.Generator, number: int, height: int, width: int) -> list:
    corners = rng.random((number, 4, 2)) * [width, height]
    return [[corner.ravel().tolist()] for corner in corners]


def batch(
    device: str = 'cpu', images: tuple = MIXED
) -> tuple[list[CompactMasks], list[SimpleNamespace]]:
    """Masks of some images, and RoIs of their objects that partly lie outside of the image."""
    rng = np.random.default_rng(0)
    masks, sampled = [], []
    for (height, width), objects, boxes in zip(*images):
        polygons = outlines(rng, objects, height, width)
        masks.append(CompactMasks.from_segmentations(polygons, height, width))
        corner = rng.random((boxes, 2)) * [width, height] - 10
        rois = np.concatenate([corner, corner + 5 + 60 * rng.random((boxes, 2))], 1)
        sampled.append(
            SimpleNamespace(
                pos_priors=torch.from_numpy(rois.astype(np.float32)).to(device),
                pos_assigned_gt_inds=torch.from_numpy(rng.integers(0, objects, boxes)).to(device),
            )
        )
    return masks, sampled


def targets(head: FCNMaskHead, masks: list, sampled: list, soft: bool = False) -> torch.Tensor:
    instances = [InstanceData(masks=one) for one in masks]
    return head.get_targets(sampled, instances, ConfigDict(mask_size=28, soft_mask_target=soft))


@pytest.mark.parametrize('images', [MIXED, PADDED], ids=['mixed', 'padded'])
@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('kind', [ClassIndexedMaskHead, ClassIndexedHTCMaskHead])
def test_targets_of_a_batch_are_bit_equal_to_those_of_the_stock_head(kind, soft, images):
    masks, sampled = batch(images=images)
    head = kind(with_conv_res=False) if kind is ClassIndexedHTCMaskHead else kind()
    stock = [BitmapMasks(one.masks.copy(), one.height, one.width) for one in masks]
    expected = targets(FCNMaskHead(), stock, sampled, soft)
    masks, sampled = batch(images=images)  # anew: the stock head clips RoIs in place
    found = targets(head, masks, sampled, soft)
    assert torch.equal(found, expected)
    assert found.dtype == expected.dtype
    assert 0 < found.mean() < 1
    # other masks, or some of them, go the stock way
    assert torch.equal(targets(head, [masks[0], *stock[1:]], sampled, soft), expected)


def test_batch_without_positives():
    masks, sampled = batch()
    sampled = [
        SimpleNamespace(**{name: value[:0] for name, value in vars(one).items()}) for one in sampled
    ]
    assert targets(ClassIndexedMaskHead(), masks, sampled).shape == (0, 28, 28)


@pytest.mark.parametrize('images', [2, 4])
def test_the_device_is_waited_for_once_however_many_images(images):
    """What depends on values of the device would raise on the device 'meta'."""
    masks, sampled = (part[:images] for part in batch('meta'))
    for one in masks:
        one.crops  # noqa: B018  (rasterised before the copies are counted)
    with Traffic() as traffic:
        found = targets(ClassIndexedMaskHead(), masks, sampled)
    assert found.is_meta
    assert found.shape == (sum(MIXED[2][:images]), 28, 28)
    assert traffic.received == 1
    assert len(traffic.sent) == 2


@pytest.mark.parametrize(('images', 'calls'), [(MIXED, 3), (PADDED, 2)], ids=['mixed', 'padded'])
def test_masks_of_several_images_of_one_size_are_sampled_at_once(images, calls, monkeypatch):
    planes = []

    def counted(masks, *args):
        planes.append(len(masks))
        return roi_align(masks, *args)

    monkeypatch.setattr(mask_targets, 'roi_align', counted)
    targets(ClassIndexedMaskHead(), *batch(images=images))
    assert len(planes) == calls
    assert max(planes) <= 32
