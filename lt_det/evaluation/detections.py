"""Detections as columns, read from records or a json file and checked."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..errors import BadInputError
from .ground_truth import LVISGroundTruth, read_json
from .masks import box_polygon, rle_areas, segmentation_problem, to_rle

_BLOCK = 65536  # records checked at a time
_MASK_BLOCK = 4096  # masks decoded at a time
_NAMING = ('image_id', 'category_id')


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


class DetectionReader:
    """Turns result records into ``Detections`` and refuses, or counts, those that are invalid.

    As in lvis-api, the first record decides where areas come from: from the box if it has one,
    also when masks are compared, else from the mask. Masks are compared by the polygon of the box
    where a record has no segmentation, boxes by the box of the mask where there is no box.

    Args:
        truth: Annotations that the records are checked against.
        iou_type: 'bbox' or 'segm'.
        skip_invalid: Whether to leave invalid records out and count them instead of raising.

    Attributes:
        skipped (Counter): Number of records left out, by the field that is invalid.
    """

    def __init__(self, truth: LVISGroundTruth, iou_type: str, skip_invalid: bool = False) -> None:
        self.truth = truth
        self.iou_type = iou_type
        self.skip_invalid = skip_invalid
        self.skipped: Counter = Counter()
        self._source = 'detections'
        self._use_box = True

    def read(self, detections: Sequence[dict] | str | os.PathLike) -> Detections:
        """Reads all records.

        Args:
            detections: Records with image_id, category_id, score and bbox (x, y, w, h in pixels)
                or segmentation, or the path of a json file with a list of them.

        Raises:
            MissingFileError: The file does not exist.
            BadInputError: The file is no json list, is empty, or a record is invalid.
        """
        self._source = 'detections'
        self.skipped.clear()
        if isinstance(detections, (str, os.PathLike)):
            self._source = os.fspath(detections)
            detections = read_json(self._source, 'result file')
        if not isinstance(detections, (list, tuple)):
            raise BadInputError(
                f'{self._source}: expected a list of records, got {type(detections).__name__}'
            )
        if not detections:
            if not self.skip_invalid:
                raise BadInputError(f'{self._source}: the list of results is empty')
            return Detections.empty(self.iou_type)
        self._use_box = isinstance(detections[0], dict) and 'bbox' in detections[0]
        parts = [
            self._read_block(detections[start : start + _BLOCK], start)
            for start in range(0, len(detections), _BLOCK)
        ]
        return Detections.concatenate(parts)

    def _read_block(self, records: Sequence[dict], start: int) -> Detections:
        numbers = np.arange(start, start + len(records))
        columns = self._columns(records)
        if columns is None:
            problems = {i: p for i, r in enumerate(records) if (p := self._problem(r))}
            self._report(problems, records, numbers)
            good = [i for i in range(len(records)) if i not in problems]
            records, numbers = [records[i] for i in good], numbers[good]
            columns = self._columns(records)
        image, category, score, boxes = columns
        masks = None
        if self.iou_type == 'segm' or boxes is None:
            masks, areas, problems = self._masks(records, image)
            self._report(problems, records, numbers)
            good = [i for i in range(len(records)) if i not in problems]
            masks = [masks[i] for i in good]
            image, category, score, areas = (
                column[good] for column in (image, category, score, areas)
            )
            boxes = None if boxes is None else boxes[good]
        if boxes is not None:
            areas = boxes[:, 2] * boxes[:, 3]
        elif self.iou_type == 'bbox':
            boxes = np.array(mask_utils.toBbox(masks), dtype=np.float64).reshape(-1, 4)
        return Detections(
            image.astype(np.int32),
            category.astype(np.int32),
            score,
            areas.astype(np.float64),
            boxes=boxes if self.iou_type == 'bbox' else None,
            segmentations=masks if self.iou_type == 'segm' else None,
        )

    def _columns(self, records: Sequence[dict]) -> tuple | None:
        """Image, category, score, boxes of records; None when any record is not valid."""
        names = ['image_id', 'category_id', 'score'] + ['bbox'] * self._use_box
        if not records:
            ids = np.zeros(0, dtype=np.int64)
            return ids, ids, np.zeros(0), np.zeros((0, 4)) if self._use_box else None
        # array() is stricter than numpy: 'q' takes nothing but integers, 'd' nothing but numbers.
        try:
            image_id, category_id = (array('q', map(itemgetter(n), records)) for n in names[:2])
            score = np.array(array('d', map(itemgetter('score'), records)))
            boxes = None
            if self._use_box:
                listed = list(map(itemgetter('bbox'), records))
                if set(map(len, listed)) != {4}:
                    return None
                boxes = np.array(array('d', chain.from_iterable(listed))).reshape(-1, 4)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        image = _position(self.truth.image_ids, np.array(image_id))
        category = _position(self.truth.category_ids, np.array(category_id))
        if (image < 0).any() or (category < 0).any() or not np.isfinite(score).all():
            return None
        if boxes is not None and not (np.isfinite(boxes).all() and (boxes[:, 2:] >= 0).all()):
            return None
        return image, category, score, boxes

    def _problem(self, record: Any) -> tuple[str, str] | None:
        """The field that makes a record invalid and why, apart from its mask."""
        if not isinstance(record, dict):
            return 'record', f'is {type(record).__name__}; expected a dict'
        for field in ['image_id', 'category_id', 'score'] + ['bbox'] * self._use_box:
            if field not in record:
                return field, 'is missing'
        for field, known in (
            ('image_id', self.truth.image_ids),
            ('category_id', self.truth.category_ids),
        ):
            if not isinstance(record[field], (int, np.integer)) or isinstance(record[field], bool):
                return field, f'is {record[field]!r}; expected an integer'
            if record[field] not in known:
                return field, f'{record[field]} is not in {self.truth.source}'
        if not _is_finite(record['score']):
            return 'score', f'is {record["score"]!r}; expected a finite number'
        if self._use_box:
            box = record['bbox']
            if not isinstance(box, (list, tuple, np.ndarray)) or len(box) != 4:
                return 'bbox', f'is {box!r}; expected [x, y, width, height]'
            if not all(map(_is_finite, box)):
                return 'bbox', f'is {box!r}; expected finite numbers'
            if box[2] < 0 or box[3] < 0:
                return 'bbox', f'is {box!r}; width and height must not be negative'
        return None

    def _masks(
        self, records: Sequence[dict], image: np.ndarray
    ) -> tuple[list[dict | None], np.ndarray, dict[int, tuple[str, str]]]:
        """Compressed masks of records, their areas, and what is wrong with some of them."""
        sizes = self.truth.image_sizes[image]
        masks: list[dict | None] = [None] * len(records)
        problems = {}
        for index, (record, (height, width)) in enumerate(zip(records, sizes.tolist())):
            segmentation = record.get('segmentation')
            if segmentation is None and self._use_box:
                segmentation = box_polygon(record['bbox'])
            problem = segmentation_problem(segmentation, height, width)
            if problem:
                problems[index] = ('segmentation', f'is not usable: {problem}')
            else:
                masks[index] = to_rle(segmentation, height, width)
        areas = np.zeros(len(records), dtype=np.int64)
        formed = [i for i, mask in enumerate(masks) if mask is not None]
        for start in range(0, len(formed), _MASK_BLOCK):
            chosen = formed[start : start + _MASK_BLOCK]
            areas[chosen] = rle_areas([masks[i]['counts'] for i in chosen], sizes[chosen].prod(1))
        for index in np.flatnonzero(areas < 0).tolist():
            problems[index] = ('segmentation', 'is not usable: malformed RLE')
        return masks, areas, problems

    def _report(
        self, problems: dict[int, tuple[str, str]], records: Sequence[Any], numbers: np.ndarray
    ) -> None:
        """Raises for the first problem, or counts all of them."""
        for index in sorted(problems):
            field, detail = problems[index]
            if self.skip_invalid:
                self.skipped[field] += 1
                continue
            record = records[index]
            named = [f'{key} {record[key]}' for key in _NAMING if key in record]
            where = f' ({", ".join(named)})' if isinstance(record, dict) and named else ''
            raise BadInputError(f'{self._source}: record {numbers[index]}{where}: {field} {detail}')


def _position(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of each value in sorted known ones; -1 where it is not there."""
    if not len(known):
        return np.full(len(values), -1)
    found = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found[known[found] != values] = -1
    return found


def _is_finite(value: Any) -> bool:
    return (
        isinstance(value, (int, float, np.number))
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )
