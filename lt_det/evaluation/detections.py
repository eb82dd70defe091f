"""Detections as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..formats.coded_masks import CodedMasks, take_masks
from ..formats.segmentations import to_rle

if TYPE_CHECKING:
    from .ground_truth import GroundTruth


@dataclass
class Detections:
    """N detections of any images, in the order in which they were given.

    Attributes:
        image: (N,) int64 image numbers of the ground truth, 0..I-1.
        category: (N,) int64 category numbers, 0..K-1.
        score: (N,) float64.
        boxes: (N, 4) float64 x, y, w, h in pixels, NaN where a detection has none; or None.
        segmentations: N masks (polygons or run-length codes), None where a detection has none; or
            None.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    boxes: np.ndarray | None = None
    segmentations: list | CodedMasks | None = None

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Detections:
        """The detections with the given numbers, (M,) int64, or a (N,) bool of those to keep."""
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        masks = self.segmentations
        return Detections(
            self.image[rows],
            self.category[rows],
            self.score[rows],
            None if self.boxes is None else self.boxes[rows],
            None if masks is None else take_masks(masks, rows),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        """Join parts; a column that some lack is filled up with nothing."""
        parts = [part for part in parts if len(part)]
        if not parts:
            ids = np.zeros(0, np.int64)
            return cls(ids, ids, np.zeros(0), np.zeros((0, 4)))
        boxes = masks = None
        if any(part.boxes is not None for part in parts):
            missing = [np.full((len(p), 4), np.nan) if p.boxes is None else p.boxes for p in parts]
            boxes = np.concatenate(missing)
        if any(part.segmentations is not None for part in parts):
            masks = [m for p in parts for m in p.segmentations or [None] * len(p)]
        image, category, score = (np.concatenate([getattr(p, n) for p in parts]) for n in _NUMBERS)
        return cls(image, category, score, boxes, masks)

    def records(self, truth: GroundTruth) -> list[dict]:
        """A dict per detection, as in a result json."""
        lists = [
            truth.image_ids[self.image].tolist(),
            truth.category_ids[self.category].tolist(),
            self.score.tolist(),
        ]
        records = [dict(zip(('image_id', 'category_id', 'score'), row)) for row in zip(*lists)]
        if self.boxes is not None:
            for record, box in zip(records, self.boxes.tolist()):
                if box[0] == box[0]:
                    record['bbox'] = box
        if self.segmentations is not None:
            for record, mask in zip(records, self.segmentations):
                if mask is not None:
                    record['segmentation'] = mask
        return records

    def array(self, truth: GroundTruth) -> np.ndarray | list[dict]:
        """(N, 7) image id, x, y, w, h, score, category id; every detection has a box.

        The records, where an id is longer than what a float64 holds.
        """
        if not truth.ids_fit_floats:
            return self.records(truth)
        assert self.boxes is not None
        ids = truth.image_ids[self.image], truth.category_ids[self.category]
        return np.column_stack([ids[0], self.boxes, self.score, ids[1]])

    def areas(self) -> np.ndarray:
        """(N,) float64 square pixels, of the box where there is one, else of the mask (a code)."""
        from hotcoco import mask as mask_utils

        if not len(self):
            return np.zeros(0)
        of_boxes = None if self.boxes is None else self.boxes[:, 2] * self.boxes[:, 3]
        masks = self.segmentations
        if of_boxes is not None and (masks is None or self.all_boxed):
            return of_boxes
        assert masks is not None  # what has no box has a mask
        coded = masks.areas if isinstance(masks, CodedMasks) else mask_utils.area(masks)
        areas = np.asarray(coded, np.float64)
        return areas if of_boxes is None else np.where(np.isnan(of_boxes), areas, of_boxes)

    def boxed(self, truth: GroundTruth) -> Detections:
        """The same, the box of its mask where a detection has none."""
        from hotcoco import mask as mask_utils

        if self.all_boxed or not len(self):
            return self
        boxes = np.full((len(self), 4), np.nan) if self.boxes is None else self.boxes.copy()
        rows = np.flatnonzero(np.isnan(boxes[:, 0]))
        sizes = truth.image_sizes[self.image[rows]].tolist()
        codes = self.segmentations
        assert codes is not None  # what has no box has a mask
        masks = [codes[row] for row in rows.tolist()]
        boxes[rows] = mask_utils.to_bbox([to_rle(m, *size) for m, size in zip(masks, sizes)])
        return replace(self, boxes=boxes)

    def encoded(self, truth: GroundTruth) -> Detections:
        """The same, with masks as compressed run lengths."""
        assert self.segmentations is not None
        sizes = truth.image_sizes[self.image].tolist()
        codes = [to_rle(mask, *size) for mask, size in zip(self.segmentations, sizes)]
        return replace(self, segmentations=codes)

    @property
    def all_boxed(self) -> bool:
        return self.boxes is not None and not np.isnan(self.boxes[:, 0]).any()


ROUNDING = 1e-3  # pixels by which a side may be negative: float32 has no more from 8,192 on
_NUMBERS = ('image', 'category', 'score')


def within_limit(group: np.ndarray, score: np.ndarray, limit: int) -> np.ndarray:
    """Which detections are among the best of their group; the earlier one on equal scores.

    Args:
        group: (N,) group numbers, for example images.
        score: (N,) scores.
        limit: Number of detections kept per group; all where it is negative.

    Returns:
        (N,) bool.
    """
    keep = np.ones(len(score), dtype=bool)
    if limit < 0 or not len(score):
        return keep
    order = np.lexsort((-score, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    keep[order[np.arange(len(order)) - np.repeat(starts, sizes) >= limit]] = False
    return keep
