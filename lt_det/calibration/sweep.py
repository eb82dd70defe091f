"""One test of a detector that scores many settings: the network runs once for each image."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead, StandardRoIHead
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Subset

from ..evaluation.detections import Detections
from ..evaluation.diagnosis.comparison import THRESHOLDS
from ..evaluation.diagnosis.matches import match
from ..evaluation.predictions import check_masks, check_size, encode_masks, read_instances
from ..evaluation.streaming import rows_that_count
from .detector_data import DetectorData
from .overlay import Overlay, Rule
from .replay import Replay
from .spool import ROW, Spool, to_rows
from .test_runner import runner_of_test

_CHUNK = 32  # images whose detections are matched together
# what they do with masks does not matter to boxes, but for their scale
_MASK_STAGES = tuple(
    kind.__dict__['predict_mask']
    for kind in (StandardRoIHead, CascadeRoIHead, HybridTaskCascadeRoIHead)
)


class Sweep(Hook):
    """Detections of each setting on the held-out images, matched with the annotations.

    Args:
        data: The held-out images.
        iou_type: ``'bbox'`` or ``'segm'``. For boxes, RoI heads leave their masks out.
        prepare: Called with the detector when its weights are those of the test; gives overlays and
            for each setting the rule of each overlay.
        spool: Called with the number of settings; gives the place for the rows.
        done: Number of images whose rows are there.

    Attributes:
        spool: With all rows, after the run.
        makes_masks: Whether the detector does, if it was asked or not, after the run.
    """

    def __init__(
        self,
        data: DetectorData,
        iou_type: str,
        prepare: Callable[[nn.Module], tuple[list[Overlay], list[list[Rule | None]]]],
        spool: Callable[[int], Spool],
        done: int = 0,
    ) -> None:
        self.data = data
        self.iou_type = iou_type
        self._prepare = prepare
        self._open = spool
        self._done = done
        self.spool: Spool | None = None
        self._waiting: list[list[Detections]] = []

    def run(
        self, cfg: Config, checkpoint: str | os.PathLike, work_dir: Path, progress: bool = False
    ) -> None:
        """Test the checkpoint on the held-out images; the log goes to ``work_dir``."""
        runner = runner_of_test(cfg, checkpoint, work_dir, progress)
        runner.register_hook(self, priority='VERY_LOW')  # the weights are in place then
        runner._test_dataloader = self._loader(runner)
        runner.test()

    def _loader(self, runner: Runner) -> DataLoader:
        """The images that are left, loaded as the config loads those of a test."""
        dataset = self.data.dataset
        left = Subset(dataset, range(self._done, len(dataset)))
        left.metainfo = dataset.metainfo
        if not len(left):
            return DataLoader(left)
        return runner.build_dataloader({**runner.cfg.test_dataloader, 'dataset': left})

    def before_test_epoch(self, runner: Runner) -> None:
        """Take the place of the step of the test, on the images that are left."""
        self._model = runner.model.eval()
        self.overlays, self.rules = self._prepare(runner.model)
        self.spool = self._open(len(self.rules))
        layers = [layer for overlay in self.overlays for layer in overlay.logits.at_test]
        self._replay = Replay(runner.model, layers).__enter__()
        self._masks = [] if self.iou_type == 'segm' else _leave_masks_out(runner.model)
        self.makes_masks = bool(self._masks)
        runner.model.test_step = self._step

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._flush()
        self._replay.__exit__()
        for head in self._masks:
            del head.predict_mask
        del runner.model.test_step
        for overlay in self.overlays:
            overlay.remove()

    @torch.no_grad()
    def _step(self, batch: Any) -> list:
        """Predict a batch under each setting."""
        data = self._model.data_preprocessor(batch, False)
        self._replay.forget()
        by_setting: list[list[Detections]] = []
        for rules in self.rules:
            for overlay, rule in zip(self.overlays, rules, strict=True):
                overlay.rule = rule
            samples = self._replay.run(lambda: self._predict(data))
            by_setting.append([self._read(sample) for sample in samples])
        for per_setting in zip(*by_setting, strict=True):
            self._waiting.append(list(per_setting))
        self._replay.forget()
        if len(self._waiting) >= _CHUNK:
            self._flush()
        return samples

    def _predict(self, data: dict) -> list:
        samples = [sample.new() for sample in data['data_samples']]
        return self._model(data['inputs'], samples, mode='predict')

    def _read(self, sample: Any) -> Detections:
        """What counts of the detections of an image."""
        truth = self.data.truth
        image = int(truth.find_images(np.array([sample.img_id]))[0])
        check_size(sample.get('ori_shape'), image, truth)
        instances = sample.pred_instances
        masks = self.iou_type == 'segm'
        self.makes_masks |= 'masks' in instances
        detections = read_instances(instances, image, self.data.categories, truth, masks)
        rows = np.flatnonzero(rows_that_count(truth, detections, self.data.limit))
        kept = detections.take(rows)
        if masks:
            check_masks(instances, image, truth)
            kept.boxes = None
            kept.segmentations = encode_masks(instances.masks, rows)
        return kept

    def _flush(self) -> None:
        """Match the images that wait, and put what comes out on disk."""
        if not self._waiting:
            return
        truth, rows = self.data.truth, []
        for number in range(len(self.rules)):
            detections = Detections.concatenate([waiting[number] for waiting in self._waiting])
            images = np.zeros(truth.num_images, bool)
            images[detections.image] = True
            # cut to those that count before
            matches = match(truth, detections, self.iou_type, -1, THRESHOLDS, images)
            rows.append(to_rows(matches) if len(detections) else np.empty(0, ROW))
        self.spool.append(rows, len(self._waiting))
        self._waiting.clear()


def _leave_masks_out(model: nn.Module) -> list[nn.Module]:
    """Let RoI heads make boxes alone; they are those that they make with masks, bit for bit."""
    heads = [
        module
        for module in model.modules()
        if getattr(type(module), 'predict_mask', None) in _MASK_STAGES and module.with_mask
    ]
    for head in heads:
        head.predict_mask = _BoxesAlone(head)
    return heads


class _BoxesAlone:
    """Stands for ``predict_mask`` of a RoI head, which scales the boxes as well."""

    def __init__(self, head: nn.Module) -> None:
        self.signature = inspect.signature(type(head).predict_mask)

    def __call__(self, *args: Any, **kwargs: Any) -> list:
        given = self.signature.bind(None, *args, **kwargs).arguments
        results = given['results_list']
        for result, meta in zip(results, given['batch_img_metas'], strict=True):
            if given.get('rescale'):
                result.bboxes /= result.bboxes.new_tensor(meta['scale_factor']).repeat((1, 2))
        return results
