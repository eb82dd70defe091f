"""LVIS evaluation with the numbers of lvis-api 0.5.3, bit for bit, at a fraction of its cost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..errors import BadInputError
from .accumulate import accumulate
from .detections import Detections
from .ground_truth import FREQUENCY_GROUPS, LVISGroundTruth
from .matching import AREA_NAMES, IOU_THRESHOLDS, Matches, count_annotations, match
from .reader import DetectionReader

IOU_TYPES = ('bbox', 'segm')


class LVISEvaluator:
    """Average precision and recall on LVIS, from detections of any framework.

    The arrays equal those of lvis-api 0.5.3 (``LVISEval.eval``) exactly: the same 300 detections of
    an image count, ties are broken the same way, and categories that are not verified on an image
    are left out of it. That includes its reading of areas: the area of a detection is that of its
    box if the first detection has one, even when masks are compared.

    T = 10 IoU thresholds 0.50:0.05:0.95, R = 101 recall points, K categories by ascending id, A = 4
    area ranges: all, small (up to 32 x 32 pixels), medium (up to 96 x 96), large.

    Args:
        annotations: Path of an LVIS json, its content, or an already loaded ``LVISGroundTruth``.
        iou_type: 'bbox' or 'segm'.
        max_dets: Number of detections of an image that count, all if negative.
        skip_invalid: Whether to leave invalid detections out and count them in ``skipped``, by
            field, instead of raising.

    Attributes:
        precision (np.ndarray): (T, R, K, A) float64, -1 where a category has no annotation.
        recall (np.ndarray): (T, K, A) float64, -1 likewise.

    Raises:
        MissingFileError: A file does not exist.
        BadInputError: The annotations or an option cannot be used.
    """

    def __init__(
        self,
        annotations: str | os.PathLike | dict | LVISGroundTruth,
        iou_type: str = 'bbox',
        max_dets: int = 300,
        skip_invalid: bool = False,
    ) -> None:
        if iou_type not in IOU_TYPES:
            raise BadInputError(f'iou_type is {iou_type!r}; expected one of {IOU_TYPES}')
        if not isinstance(annotations, LVISGroundTruth):
            annotations = LVISGroundTruth(annotations, masks=iou_type == 'segm')
        self.truth = annotations
        self.iou_type = iou_type
        self.max_dets = max_dets
        self._reader = DetectionReader(self.truth, iou_type, skip_invalid)
        self.precision: np.ndarray | None = None
        self.recall: np.ndarray | None = None

    @property
    def skipped(self) -> Counter:
        """Numbers of detections left out of the last evaluation, by invalid field."""
        return self._reader.skipped

    def evaluate(self, detections: Sequence[dict] | str | os.PathLike) -> dict[str, float]:
        """Scores detections.

        Args:
            detections: Dicts with image_id, category_id, score and bbox (x, y, width, height in
                pixels) or segmentation (polygons or RLE); or the path of a json with a list of
                them.

        Returns:
            AP, AP50, AP75, APs, APm, APl, APr, APc, APf, AR@300, ARs@300, ARm@300, ARl@300 in
            0..1; -1 where there is no annotation to find.

        Raises:
            MissingFileError: The file does not exist.
            BadInputError: A record is invalid, or there is none.
        """
        return self.accumulate(self.match(self._reader.read(detections)))

    def match(self, detections: Detections) -> Matches:
        """Matches all detections of some images; different images may be matched separately."""
        return match(self.truth, detections, self.max_dets)

    def accumulate(
        self,
        matches: Matches,
        images: np.ndarray | None = None,
        categories: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Sets ``precision`` and ``recall`` from the matches of all images, and summarises them.

        Args:
            matches: Outcomes, sorted by image (see ``Matches.concatenate``).
            images: (I,) bool, images whose annotations are to be found; all by default. Matches
                should be of those images only.
            categories: (K,) bool, categories to score; all by default. The others get -1.

        Returns:
            The metrics of ``evaluate``.
        """
        counts = count_annotations(self.truth, images)
        if categories is not None:
            counts[~categories] = 0
        self.precision, self.recall = accumulate(matches, counts)
        return self.summarize()

    def summarize(self) -> dict[str, float]:
        """The metrics of ``evaluate`` from ``precision`` and ``recall``."""
        precision, recall = self.precision, self.recall
        metrics = {'AP': _mean(precision[..., 0])}
        for percent in (50, 75):
            chosen = np.isclose(IOU_THRESHOLDS, percent / 100)
            metrics[f'AP{percent}'] = _mean(precision[chosen][..., 0])
        for a, name in enumerate(AREA_NAMES[1:], start=1):
            metrics[f'AP{name[0]}'] = _mean(precision[..., a])
        for group in FREQUENCY_GROUPS:
            metrics[f'AP{group}'] = _mean(precision[:, :, self.truth.frequency == group, 0])
        suffix = f'@{self.max_dets}' if self.max_dets >= 0 else ''
        for a, name in enumerate(AREA_NAMES):
            metrics[f'AR{name[0] if a else ""}{suffix}'] = _mean(recall[..., a])
        return metrics

    def category_ap(self) -> np.ndarray:
        """(K,) AP of each category; -1 where it has no annotation."""
        return np.array([_mean(self.precision[:, :, k, 0]) for k in range(self.precision.shape[2])])


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
