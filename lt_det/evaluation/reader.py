"""Result records, from memory or a file, checked one by one and turned into columns."""

from __future__ import annotations

import gc
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from ..errors import BadInputError
from ..formats.result_files import record_blocks, spread_records
from ..formats.segmentations import mask_problem, masks_usable
from .detections import ROUNDING, Detections
from .ground_truth import GroundTruth

_WHOLE = 1 << 23  # bytes of a file that is looked at whole
_PARTS, _PART = 32, 1 << 16  # of a larger one, so many parts of so many bytes
_BLOCK = 65536  # records checked at a time
_MASK = 'segmentation'
_NAMING = ('image_id', 'category_id')
_NO_BOX = [float('nan')] * 4


class DetectionReader:
    """Turns result records into ``Detections`` and refuses, or counts, those that are invalid.

    Ids are integers, whole floats, or arrays and tensors of one; scores and boxes are numbers,
    arrays or tensors. A record needs a box or a mask.

    Args:
        truth: Annotations that the records are checked against.
        skip_invalid: Whether to leave invalid records out and count them instead of raising.
        boxes_only: Whether masks of records that have a box are not looked at.

    Attributes:
        skipped (Counter): Number of records left out, by the field that is invalid.
    """

    def __init__(
        self, truth: GroundTruth, skip_invalid: bool = False, boxes_only: bool = False
    ) -> None:
        self.truth = truth
        self.skip_invalid = skip_invalid
        self.boxes_only = boxes_only
        self.skipped: Counter = Counter()
        self.source = 'detections'

    def read(
        self, detections: Sequence[dict] | Mapping[str, Sequence] | str | os.PathLike
    ) -> Detections:
        """Read all records.

        Args:
            detections: Records with image_id, category_id, score and bbox (x, y, w, h in pixels)
                or segmentation; or a dict of such columns of equal length, bbox (N, 4); or the
                path of a json file with a list of records, which is read in pieces.

        Raises:
            MissingFileError: The file does not exist.
            BadInputError: The file is no json list, or a record is invalid.
        """
        self.source = 'detections'
        self.skipped.clear()
        if isinstance(detections, Mapping):
            part = self._plain_columns(detections)
            if part is not None:
                return part
        parts = []
        count = 0
        with _no_collection():
            for block in self._blocks(detections):
                parts.append(self._read_block(block, count))
                count += len(block)
        return Detections.concatenate(parts)

    def look_first(self, path: str | os.PathLike) -> bool:
        """Whether a small file has records, all of them valid as they are; True for a large one.

        The engine would say things of others on the standard error.
        """
        return not self._is_small(path) or self._is_plain(record_blocks(path))

    def look(self, path: str | os.PathLike) -> bool:
        """Whether records from all over a large file are valid as they are; True for a small one.

        What a model or a tool does wrong it does throughout a file. A record that is the only one
        of its kind, in a file of millions, may be missed: it then finds nothing.
        """
        return self._is_small(path) or self._is_plain(spread_records(path, _PARTS, _PART))

    def _is_plain(self, blocks: Iterator[list]) -> bool:
        try:
            with _no_collection():
                parts = map(self._plain, blocks)
                return all(part and self._is_whole(part) for part in parts)
        except (ValueError, OSError):
            return False

    def _is_whole(self, part: Detections) -> bool:
        """Whether the engine can score it: it makes boxes of compressed masks alone."""
        return part.all_boxed or not self.boxes_only

    @staticmethod
    def _is_small(path: str | os.PathLike) -> bool:
        return not os.path.isfile(path) or os.path.getsize(path) <= _WHOLE

    def _blocks(self, detections: Any) -> Iterator[list]:
        blocks: Iterator[Any]
        if isinstance(detections, (str, os.PathLike)):
            self.source = os.fspath(detections)
            blocks = record_blocks(detections)
        elif isinstance(detections, Mapping):
            blocks = _blocks_of_columns(detections)
        elif isinstance(detections, (list, tuple)):
            blocks = iter([detections])
        else:
            raise BadInputError(
                f'{self.source}: expected a list of records, columns, or a path, got '
                f'{type(detections).__name__}'
            )
        for records in blocks:
            for start in range(0, len(records), _BLOCK):
                yield records[start : start + _BLOCK]

    def _read_block(self, records: Sequence[Any], start: int) -> Detections:
        part = self._plain(records)
        if part is None:
            clean = []
            for number, record in enumerate(records, start):
                problem, values = self._normal(record)
                if problem:
                    self._report(problem, record, number)
                else:
                    clean.append(values)
            part = self._plain(clean)
            if part is None:
                raise BadInputError(f'{self.source}: no valid records from number {start} on')
        return part

    def _plain(self, records: Sequence[Any]) -> Detections | None:
        """Columns of records of plain types; None when one is not valid, or has to be looked at."""
        if not len(records):
            return Detections.concatenate([])
        # array() is stricter than numpy: 'q' takes nothing but integers, 'd' nothing but numbers.
        try:
            columns = [list(map(itemgetter(name), records)) for name in (*_NAMING, 'score')]
            if bool in set(map(type, chain(*columns))):
                return None
            image, category, score = (np.array(array(c, v)) for c, v in zip('qqd', columns))
            has_box = ['bbox' in record for record in records]
            has_mask = [
                _MASK in record and not (box and self.boxes_only)
                for record, box in zip(records, has_box)
            ]
            boxes = None
            if any(has_box):
                given = [r['bbox'] if b else _NO_BOX for r, b in zip(records, has_box)]
                if set(map(len, given)) != {4}:
                    return None
                sides = list(chain.from_iterable(given))
                if bool in set(map(type, sides)):
                    return None
                boxes = np.array(array('d', sides)).reshape(-1, 4)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            return None
        if not all(box or mask for box, mask in zip(has_box, has_mask)):
            return None
        detections = self._known(image, category, score, boxes, np.array(has_box))
        if detections is not None and any(has_mask):
            masks = [r[_MASK] if m else None for r, m in zip(records, has_mask)]
            detections.segmentations = masks
            rows = np.flatnonzero(has_mask)
            sizes = self.truth.image_sizes[detections.image[rows]]
            if not masks_usable([records[i] for i in rows], sizes):
                return None
        return detections

    def _known(
        self,
        image_ids: np.ndarray,
        category_ids: np.ndarray,
        score: np.ndarray,
        boxes: np.ndarray | None,
        has_box: np.ndarray,
    ) -> Detections | None:
        """Detections, if their ids are known and their numbers can be used."""
        image = self.truth.find_images(image_ids)
        category = self.truth.find_categories(category_ids)
        if (image < 0).any() or (category < 0).any() or not np.isfinite(score).all():
            return None
        if boxes is not None:
            present = boxes[has_box]
            if not (np.isfinite(present).all() and (present[:, 2:] >= 0).all()):
                return None
        return Detections(image, category, score, boxes)

    def _plain_columns(self, columns: Mapping[str, Sequence]) -> Detections | None:
        """The same of whole columns of boxes."""
        _check_columns(columns)
        if set(columns) - {'image_id', 'category_id', 'score', 'bbox'} or 'bbox' not in columns:
            return None
        try:
            image, category = (_ids(columns[name]) for name in _NAMING)
            score, boxes = (np.asarray(columns[name], np.float64) for name in ('score', 'bbox'))
        except (TypeError, ValueError, RuntimeError, OverflowError):
            return None
        if image is None or category is None or score.ndim != 1 or boxes.shape != (len(score), 4):
            return None
        return self._known(image, category, score, boxes, np.ones(len(score), bool))

    def _normal(self, record: Any) -> tuple[tuple[str, str] | None, dict | None]:
        """The field that makes a record invalid and why, or the record in plain types."""
        if not isinstance(record, Mapping):
            return ('record', f'is {type(record).__name__}; expected a dict'), None
        for field in (*_NAMING, 'score'):
            if field not in record:
                return (field, 'is missing'), None
        values: dict[str, Any] = {}
        for field, find, known in (
            ('image_id', self.truth.find_images, 'images'),
            ('category_id', self.truth.find_categories, 'categories'),
        ):
            value = _number(record[field])
            if value is None or value != value // 1:
                return (field, f'is {record[field]!r}; expected an integer'), None
            if find(np.array([int(value)]))[0] < 0:
                return (field, f'{int(value)} is not in the {known} of {self.truth.source}'), None
            values[field] = int(value)
        score = _number(record['score'])
        if score is None or not np.isfinite(score):
            return ('score', f'is {record["score"]!r}; expected a finite number'), None
        values['score'] = float(score)
        box, mask = record.get('bbox'), record.get(_MASK)
        if box is None and mask is None:
            return ('bbox', f'is missing, and so is {_MASK}'), None
        if box is not None:
            box = box.tolist() if hasattr(box, 'tolist') else box
            if not isinstance(box, (list, tuple)) or len(box) != 4:
                return ('bbox', f'is {box!r}; expected [x, y, width, height]'), None
            box = [_number(side) for side in box]
            if None in box or not np.isfinite(box).all():
                return ('bbox', f'is {record["bbox"]!r}; expected finite numbers'), None
            if min(box[2:]) < -ROUNDING:
                return ('bbox', f'is {box!r}; width and height must not be negative'), None
            values['bbox'] = [*box[:2], *(max(side, 0) for side in box[2:])]
        if mask is not None and not (box is not None and self.boxes_only):
            image = self.truth.find_images(np.array([values['image_id']]))[0]
            problem = mask_problem(mask, *self.truth.image_sizes[image].tolist())
            if problem:
                return (_MASK, f'is not usable: {problem}'), None
            values[_MASK] = mask
        return None, values

    def _report(self, problem: tuple[str, str], record: Any, number: int) -> None:
        """Raise, or count."""
        field, detail = problem
        if self.skip_invalid:
            self.skipped[field] += 1
            return
        known = record if isinstance(record, Mapping) else {}
        named = [f'{key} {known[key]}' for key in _NAMING if key in known]
        where = f' ({", ".join(named)})' if named else ''
        raise BadInputError(f'{self.source}: record {number}{where}: {field} {detail}')


def _number(value: Any) -> int | float | None:
    """A number, also from an array or tensor of one; None for anything else."""
    if hasattr(value, 'item') and getattr(value, 'size', 1) != 0:
        try:
            value = value.item()
        except (ValueError, RuntimeError):
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, float) or abs(value) < 2**63 else None


def _ids(column: Sequence) -> np.ndarray | None:
    """(N,) int64 ids of a column; None where one is not whole."""
    ids = np.asarray(column)
    if ids.dtype.kind not in 'iu':
        ids = ids.astype(np.float64)
    whole = ids.astype(np.int64)
    return whole if (whole == ids).all() else None


def _check_columns(columns: Mapping[str, Sequence]) -> None:
    missing = [name for name in ('image_id', 'category_id', 'score') if name not in columns]
    if missing:
        raise BadInputError(
            'detections: expected a list of records, or a dict of columns; it lacks '
            f'{", ".join(map(repr, missing))}'
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise BadInputError(f'detections: columns must be of equal length, got {lengths}')


def _blocks_of_columns(columns: Mapping[str, Sequence]) -> Iterator[list[dict]]:
    """Records of a dict of columns, some at a time."""
    for start in range(0, len(columns['score']), _BLOCK):
        parts = [column[start : start + _BLOCK] for column in columns.values()]
        lists = [part.tolist() if hasattr(part, 'tolist') else part for part in parts]
        yield [dict(zip(columns, values)) for values in zip(*lists)]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage collection takes longer than reading where millions of records hold no cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
