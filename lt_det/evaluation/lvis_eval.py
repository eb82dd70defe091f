"""LVIS evaluation with the numbers of lvis-api 0.5.3, bit for bit, at a fraction of its cost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import BadInputError
from .accumulate import RECALL_POINTS, accumulate, spread, unpack_bits
from .detections import Detections
from .ground_truth import FREQUENCY_GROUPS, LVISGroundTruth
from .grouping import within_limit
from .matching import (
    AREA_NAMES,
    IOU_THRESHOLDS,
    NUM_AREAS,
    NUM_THRESHOLDS,
    Matches,
    count_annotations,
    match,
)
from .reader import DetectionReader

IOU_TYPES = ('bbox', 'segm', 'boundary')
Input = Sequence[dict] | Mapping[str, Sequence] | str | os.PathLike | Detections


class LVISEvaluator:
    """Average precision and recall on LVIS, from detections of any framework.

    The arrays equal those of lvis-api 0.5.3 (``LVISEval.eval``) exactly: the same 300 detections of
    an image count, ties are broken the same way, and categories that are not verified on an image
    are left out of it. That includes its reading of areas: the area of a detection is that of its
    box if the first detection has one, even when masks are compared.

    T = 10 IoU thresholds 0.50:0.05:0.95, R = 101 recall points, I images and K categories by
    ascending id, A = 4 area ranges: all, small (up to 32 x 32 pixels), medium (up to 96 x 96),
    large. Metrics are in 0..1, and -1 where there is no annotation to find.

    Detections are given as dicts with image_id, category_id, score and bbox (x, y, width, height in
    pixels) or segmentation (polygons or RLE); as a dict of such columns, bbox (N, 4); or as the
    path of a json file with a list of records.

    Args:
        annotations: Path of an LVIS json, its content, or an already loaded ``LVISGroundTruth``.
        iou_type: 'bbox', 'segm', or 'boundary': masks that also agree on their boundaries.
        max_dets: Number of detections of an image that count, all if negative.
        skip_invalid: Whether to leave invalid detections out and count them in ``skipped``, by
            field, instead of raising.
        image_ids: Images to score; all by default. Other detections are left out.
        category_ids: Categories to score; all by default.
        num_workers: Number of processes that share the reading of a file and the matching; the
            metrics are the same.

    Attributes:
        images (np.ndarray): (I,) bool, those that are scored.
        categories (np.ndarray): (K,) bool, likewise.

    Raises:
        MissingFileError: A file does not exist.
        BadInputError: The annotations, the detections or an option cannot be used.
    """

    def __init__(
        self,
        annotations: str | os.PathLike | dict | LVISGroundTruth,
        iou_type: str = 'bbox',
        max_dets: int = 300,
        skip_invalid: bool = False,
        image_ids: Sequence[int] | None = None,
        category_ids: Sequence[int] | None = None,
        num_workers: int = 1,
    ) -> None:
        if iou_type not in IOU_TYPES:
            raise BadInputError(f'iou_type is {iou_type!r}; expected one of {IOU_TYPES}')
        if not isinstance(annotations, LVISGroundTruth):
            annotations = LVISGroundTruth(annotations, masks=iou_type != 'bbox')
        self.truth = annotations
        self.iou_type = iou_type
        self.max_dets = max_dets
        self.num_workers = num_workers
        self.images = self._chosen('image_ids', image_ids, self.truth.image_ids)
        self.categories = self._chosen('category_ids', category_ids, self.truth.category_ids)
        self._reader = DetectionReader(self.truth, iou_type, skip_invalid)
        # Categories without annotations take no time and memory until the arrays are asked for.
        self._present = np.zeros(0, dtype=np.int64)
        self._precision = np.zeros((NUM_THRESHOLDS, len(RECALL_POINTS), 0, NUM_AREAS))
        self._recall = np.zeros((NUM_THRESHOLDS, 0, NUM_AREAS))

    @property
    def precision(self) -> np.ndarray:
        """(T, R, K, A) float64 precision, -1 where a category has no annotation."""
        return spread(self._precision, self._present, len(self.categories))

    @property
    def recall(self) -> np.ndarray:
        """(T, K, A) float64 recall, -1 where a category has no annotation."""
        return spread(self._recall, self._present, len(self.categories))

    @property
    def skipped(self) -> Counter:
        """Numbers of detections left out when last read, by invalid field."""
        return self._reader.skipped

    def read(
        self,
        detections: Input,
        progress: Callable[[int, int], None] | None = None,
        all_masks: bool = False,
    ) -> Detections:
        """Detections as columns, to be scored several times without being read again.

        Args:
            detections: Detections in any form.
            progress: Called with what is done and what there is: bytes of a file, else records.
            all_masks: Whether to hold the masks that only ``proposal_recall`` needs too.
        """
        if not isinstance(detections, Detections):
            detections = self._reader.read(detections, progress, all_masks, self.num_workers)
        if self.images.all():
            return detections
        return detections.take(np.flatnonzero(self.images[detections.image]))

    def evaluate(self, detections: Input) -> dict[str, float]:
        """The metrics of lvis-api.

        Args:
            detections: Detections in any form.

        Returns:
            AP, AP50, AP75, APs, APm, APl, APr, APc, APf, AR@300, ARs@300, ARm@300, ARl@300.
        """
        return self.accumulate(self.match(self.read(detections)))

    def fixed_ap(self, detections: Input, max_per_category: int = 10000) -> dict[str, float]:
        """AP that cannot be raised by trading detections of one category for those of another.

        Instead of 300 an image, the best detections of each category over all images count
        (Dave et al., "Evaluating Large-Vocabulary Object Detectors: The Devil is in the Details",
        arXiv 2102.01066). AP-pool ranks all categories in one list, which calibrated scores need.

        Args:
            detections: All detections in any form, not cut to 300 an image.
            max_per_category: Number of detections of each category that count.

        Returns:
            fixed_AP, fixed_AP50 ... fixed_APf and AP_pool.
        """
        matches = self.match_all(self.read(detections))
        return self.accumulate_fixed(matches, max_per_category)

    def accumulate_fixed(self, matches: Matches, max_per_category: int = 10000) -> dict[str, float]:
        """The metrics of ``fixed_ap`` from ``match_all``; sets the arrays."""
        # A detection cannot change the match of a better one: the limit may come afterwards.
        kept = within_limit(matches.category, matches.score, max_per_category)
        matches = self._restricted(matches.take(kept))
        metrics = {
            f'fixed_{key}': value
            for key, value in self.accumulate(matches).items()
            if key.startswith('AP')
        }
        # Equal scores are ranked by category, then image.
        pool = matches.take(np.argsort(matches.category, kind='stable'))
        pool.category = np.zeros_like(pool.category)
        _, precision, _ = accumulate(pool, self._counts().sum(axis=0, keepdims=True))
        metrics['AP_pool'] = _mean(precision[..., 0])
        return metrics

    def proposal_recall(
        self, detections: Input, limits: Sequence[int] = (100, 300, 1000)
    ) -> dict[str, float]:
        """Recall of annotations of the scored categories, whatever category is predicted.

        Args:
            detections: Detections in any form; if read before, then with ``all_masks``.
            limits: Numbers of detections of an image that count.

        Returns:
            AR@100, ARs@100, ARm@100, ARl@100 and so on, averaged over the IoU thresholds.
        """
        detections = self.read(detections, all_masks=True)
        truth = self.truth.class_agnostic(self.categories)
        detections = replace(detections, category=np.zeros_like(detections.category))
        matches = self._match(truth, detections, max_dets=max(limits))
        first = np.searchsorted(matches.image, matches.image)
        rank = np.arange(len(matches)) - first
        counts = count_annotations(truth, self.images)[0]
        metrics = {}
        for limit in limits:
            hits = np.zeros(NUM_AREAS * NUM_THRESHOLDS, dtype=np.int64)
            words = matches.true[rank < limit]
            hits += unpack_bits(words[words != 0]).sum(axis=0, dtype=np.int64)
            hits = hits.reshape(NUM_AREAS, NUM_THRESHOLDS)
            for a, name in enumerate(AREA_NAMES):
                key = f'AR{name[0] if a else ""}@{limit}'
                metrics[key] = float((hits[a] / counts[a]).mean()) if counts[a] else -1.0
        return metrics

    def match(
        self, detections: Detections, progress: Callable[[int, int], None] | None = None
    ) -> Matches:
        """Matches all detections of some images; different images may be matched separately."""
        return self._match(self.truth, detections, max_dets=self.max_dets, progress=progress)

    def match_all(self, detections: Detections) -> Matches:
        """The same without a limit, and with those that cannot be scored; for ``fixed_ap``."""
        return self._match(self.truth, detections, max_dets=-1, keep_all=True)

    def _match(self, truth: LVISGroundTruth, detections: Detections, **options: Any) -> Matches:
        boundary = self.iou_type == 'boundary'
        return match(truth, detections, boundary=boundary, num_workers=self.num_workers, **options)

    def accumulate(self, matches: Matches) -> dict[str, float]:
        """The metrics of ``evaluate`` from the matches of all images; sets the arrays.

        Args:
            matches: Outcomes, sorted by image (see ``Matches.concatenate``).
        """
        self._present, self._precision, self._recall = accumulate(
            self._restricted(matches), self._counts()
        )
        return self.summarize()

    def summarize(self) -> dict[str, float]:
        """The metrics of ``evaluate`` from ``precision`` and ``recall``."""
        precision = self._precision
        metrics = {'AP': _mean(precision[..., 0])}
        for percent in (50, 75):
            chosen = np.isclose(IOU_THRESHOLDS, percent / 100)
            metrics[f'AP{percent}'] = _mean(precision[chosen][..., 0])
        for a, name in enumerate(AREA_NAMES[1:], start=1):
            metrics[f'AP{name[0]}'] = _mean(precision[..., a])
        for group in FREQUENCY_GROUPS:
            metrics[f'AP{group}'] = _mean(precision[:, :, self._in_group(group), 0])
        suffix = f'@{self.max_dets}' if self.max_dets >= 0 else ''
        for a, name in enumerate(AREA_NAMES):
            metrics[f'AR{name[0] if a else ""}{suffix}'] = _mean(self._recall[..., a])
        return metrics

    def frequency_by_area(self) -> dict[str, dict[str, float]]:
        """AP of each frequency group in each area range: group 'r', 'c', 'f' -> range -> AP."""
        return {
            group: {
                name: _mean(self._precision[:, :, self._in_group(group), a])
                for a, name in enumerate(AREA_NAMES)
            }
            for group in FREQUENCY_GROUPS
        }

    def category_ap(self) -> np.ndarray:
        """(K,) AP of each category."""
        ap = np.full(len(self.categories), -1.0)
        ap[self._present] = [_mean(self._precision[:, :, p, 0]) for p in range(len(self._present))]
        return ap

    def _in_group(self, group: str) -> np.ndarray:
        return self.truth.frequency[self._present] == group

    def _counts(self) -> np.ndarray:
        return count_annotations(self.truth, self.images) * self.categories[:, None]

    def _restricted(self, matches: Matches) -> Matches:
        if self.images.all() and self.categories.all():
            return matches
        return matches.take(self.images[matches.image] & self.categories[matches.category])

    def _chosen(self, name: str, ids: Sequence[int] | None, known: np.ndarray) -> np.ndarray:
        if ids is None:
            return np.ones(len(known), dtype=bool)
        unknown = np.setdiff1d(ids, known)
        if len(unknown):
            raise BadInputError(f'{name} has {unknown[0]}, which is not in {self.truth.source}')
        return np.isin(known, ids)


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
