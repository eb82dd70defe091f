"""Test-time augmentation of detectors, with or without masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from ..errors import BadInputError
from .roi_heads.lazy_masks import LazyMasks

# dimensions of masks (N, H, W)
FLIPS = dict(horizontal=[-1], vertical=[-2], diagonal=[-2, -1])


@MODELS.register_module()
class InstanceTTAModel(DetTTAModel):
    """MMDetection's ``DetTTAModel`` for masks too.

    The detections of all views of an image go through one NMS per class; each that is left keeps
    its own mask, mirrored back where its view was. Boxes, scores and labels are those of
    ``DetTTAModel``.

    Args:
        **kwargs: Those of ``DetTTAModel``: ``tta_cfg`` with ``nms`` and ``max_per_img``, and
            ``module``.

    Raises:
        BadInputError: An image does not tell whether it is mirrored.
    """

    def test_step(self, data: Any) -> list[DetDataSample]:
        """Merged predictions for a batch of which every image comes in several views."""
        # A view is an image like any other to the detector: Cascade and HTC would mirror the masks
        # that they average over their stages.
        for sample in _samples(data):
            sample.set_metainfo(dict(mirrored=sample.get('flip'), flip=False))
        return super().test_step(data)

    def _merge_single_sample(self, data_samples: Sequence[DetDataSample]) -> DetDataSample:
        """One prediction from those for the views of an image."""
        for sample in data_samples:
            if 'mirrored' in sample:
                sample.set_metainfo(dict(flip=sample.mirrored))
            if not {'flip', 'flip_direction'} <= set(sample.metainfo_keys()):
                raise BadInputError(
                    "tta_pipeline: meta_keys of PackDetInputs lacks 'flip' or 'flip_direction', "
                    'without which views cannot be turned back'
                )
        views = [sample.pred_instances for sample in data_samples]
        if 'masks' not in views[0]:
            return super()._merge_single_sample(data_samples)
        if not any(len(view) for view in views):
            return data_samples[0]
        boxes, scores = self.merge_aug_bboxes(
            [view.bboxes for view in views],
            [view.scores for view in views],
            [sample.metainfo for sample in data_samples],
        )
        labels = torch.cat([view.labels for view in views])
        detections, kept = batched_nms(boxes, scores, labels, self.tta_cfg.nms)
        best = slice(self.tta_cfg.max_per_img)
        merged = data_samples[0]
        merged.pred_instances = InstanceData(
            bboxes=detections[best, :-1],
            scores=detections[best, -1],
            labels=labels[kept[best]],
            masks=_masks_of(data_samples, kept[best]),
        )
        return merged


def _samples(data: Any) -> Iterator[DetDataSample]:
    """The data samples with a ``flip`` in nested dicts and lists."""
    if isinstance(data, DetDataSample):
        if 'flip' in data:
            yield data
    elif isinstance(data, (dict, list, tuple)):
        for entry in data.values() if isinstance(data, dict) else data:
            yield from _samples(entry)


def _masks_of(data_samples: Sequence[DetDataSample], rows: Tensor) -> Tensor:
    """Masks (K, H, W), upright, of the given rows (K,) of the detections of all views."""
    parts, places, start = [], [], 0
    for sample in data_samples:
        masks = sample.pred_instances.masks
        here = ((rows >= start) & (rows < start + len(masks))).nonzero()[:, 0]
        part = masks[(rows[here] - start).to(masks.device)]
        if sample.flip:
            part = part.flip(FLIPS[sample.flip_direction])
        parts.append(part)
        places.append(here)
        start += len(masks)
    lazy = all(isinstance(part, LazyMasks) for part in parts)
    joined = LazyMasks.join(parts) if lazy else torch.cat(parts)
    return joined[torch.cat(places).argsort().to(joined.device)]
