"""Views of an image merge into the boxes of MMDetection, each with the mask that belongs to it."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from lt_det.errors import BadInputError
from lt_det.models.instance_tta import FLIPS, InstanceTTAModel
from lt_det.models.roi_heads.lazy_masks import LazyMasks

SIZE = (40, 60)
TTA = ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=7)


class Detector(nn.Module):
    def test_step(self, data):
        raise NotImplementedError


def upright(seed: int, number: int) -> InstanceData:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator) * torch.tensor([40.0, 25.0])
    boxes = torch.cat([corner, corner + 4 + torch.rand(number, 2, generator=generator) * 14], 1)
    probabilities = torch.rand(number, 1, 14, 14, generator=generator)
    return InstanceData(
        bboxes=boxes,
        scores=torch.rand(number, generator=generator),
        labels=torch.randint(3, (number,), generator=generator),
        masks=LazyMasks(probabilities, boxes, SIZE, 0.5),
    )


def seen(instances: InstanceData, direction: str | None, lazy: bool) -> DetDataSample:
    """What the detector would say of the mirrored image."""
    masks = instances.masks
    if direction:
        masks = LazyMasks.flip(masks, FLIPS[direction])
        boxes = bbox_flip(instances.bboxes, SIZE, direction)
        instances = InstanceData(bboxes=boxes, scores=instances.scores, labels=instances.labels)
    instances.masks = masks if lazy else masks.pasted()
    meta = dict(ori_shape=SIZE, flip=bool(direction), flip_direction=direction)
    return DetDataSample(metainfo=meta, pred_instances=instances)


def without_masks(sample: DetDataSample) -> DetDataSample:
    seen = sample.pred_instances
    boxes = InstanceData(bboxes=seen.bboxes, scores=seen.scores, labels=seen.labels)
    return DetDataSample(metainfo=sample.metainfo, pred_instances=boxes)


@pytest.mark.parametrize('direction', list(FLIPS))
@pytest.mark.parametrize('numbers', [(9, 8), (0, 5), (5, 0), (3, 1)])
@pytest.mark.parametrize('lazy', [True, False])
def test_detections_keep_their_masks(direction, numbers, lazy):
    views = [upright(seed, number) for seed, number in enumerate(numbers)]
    pasted = [upright(seed, number).masks.pasted() for seed, number in enumerate(numbers)]
    truth = [view.bboxes.clone() for view in views]
    samples = [seen(view, d, lazy) for view, d in zip(views, (None, direction))]
    plain = [without_masks(sample) for sample in samples]
    (merged,) = InstanceTTAModel(module=Detector(), tta_cfg=TTA).merge_preds([samples])
    found = merged.pred_instances
    (expected,) = DetTTAModel(module=Detector(), tta_cfg=TTA).merge_preds([plain])
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[key], expected.pred_instances[key])
    assert isinstance(found.masks, LazyMasks) == lazy
    assert len(found.masks) == len(found) > 0
    boxes, masks = torch.cat(truth), torch.cat(pasted)
    for box, mask in zip(found.bboxes, found.masks):
        own = (boxes - box).abs().sum(1).argmin()
        # mirroring twice moves the sampling points by rounding: at most a pixel is on its threshold
        assert (mask != masks[own]).sum() <= 1
        assert mask.any()


def test_the_detector_does_not_know_that_a_view_is_mirrored():
    """MMDetection's cascades would turn the masks of their stages."""
    views = [seen(upright(seed, 4), d, True) for seed, d in enumerate((None, 'horizontal'))]
    expected = InstanceTTAModel(module=Detector(), tta_cfg=TTA).merge_preds([deepcopy(views)])
    flips = []

    class Cascade(Detector):
        def test_step(self, data):
            flips.extend(sample.flip for sample in data['data_samples'])
            return data['data_samples']

    data = dict(inputs=[[0], [0]], data_samples=[[view] for view in views])
    (merged,) = InstanceTTAModel(module=Cascade(), tta_cfg=TTA).test_step(data)
    assert flips == [False, False]
    assert torch.equal(merged.pred_instances.bboxes, expected[0].pred_instances.bboxes)
    difference = merged.pred_instances.masks != expected[0].pred_instances.masks
    assert difference.sum() <= len(merged.pred_instances)


def test_views_without_detections():
    samples = [seen(upright(0, 0), d, True) for d in (None, 'horizontal')]
    (merged,) = InstanceTTAModel(module=Detector(), tta_cfg=TTA).merge_preds([samples])
    assert merged.pred_instances.masks.shape == (0, *SIZE)


def test_images_that_do_not_tell_whether_they_are_mirrored():
    samples = [seen(upright(0, 3), None, True)]
    samples[0].pop('flip')
    with pytest.raises(BadInputError, match="meta_keys of PackDetInputs lacks 'flip'"):
        InstanceTTAModel(module=Detector(), tta_cfg=TTA).merge_preds([samples])
