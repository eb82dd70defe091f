"""Detections as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class Detections:
    """N detections of any images, in the order in which they were given.

    Attributes:
        image: (N,) int32 image numbers of the ground truth, 0..I-1.
        category: (N,) int32 category numbers, 0..K-1.
        score: (N,) float64.
        area: (N,) float64 in square pixels, of the box where there is one, else of the mask.
        boxes: (N, 4) float64 x, y, w, h in pixels, or None.
        segmentations: N compressed masks, or None.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    area: np.ndarray
    boxes: np.ndarray | None = None
    segmentations: list | None = None

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Detections:
        """The detections with the given numbers, (M,) int64."""
        columns = (self.image, self.category, self.score, self.area, self.boxes)
        lists = self.segmentations
        return Detections(
            *(None if column is None else column[rows] for column in columns),
            segmentations=None if lists is None else [lists[i] for i in rows],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        """Joins parts that carry the same columns."""

        def join(name: str) -> np.ndarray | None:
            columns = [getattr(part, name) for part in parts]
            return None if columns[0] is None else np.concatenate(columns)

        lists = [part.segmentations for part in parts]
        return cls(
            **{name: join(name) for name in ('image', 'category', 'score', 'area', 'boxes')},
            segmentations=None if lists[0] is None else [s for part in lists for s in part],
        )

    @classmethod
    def empty(cls, iou_type: str) -> Detections:
        ids = np.zeros(0, dtype=np.int32)
        values = np.zeros(0)
        if iou_type == 'bbox':
            return cls(ids, ids, values, values, boxes=np.zeros((0, 4)))
        return cls(ids, ids, values, values, segmentations=[])
