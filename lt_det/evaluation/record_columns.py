"""The fields of many result records as arrays, if all are of the right type."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from ..errors import BadInputError


class Columns:
    """Columns of equal length that can be read as records."""

    def __init__(self, columns: Mapping[str, Sequence]) -> None:
        self.columns = dict(columns)
        missing = [name for name in ('image_id', 'category_id', 'score') if name not in columns]
        if missing:
            raise BadInputError(
                'detections: expected a list of records, or a dict of columns; it lacks '
                f'{", ".join(map(repr, missing))}'
            )
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise BadInputError(f'detections: columns must be of equal length, got {lengths}')

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int | slice) -> Any:
        values = {name: column[index] for name, column in self.columns.items()}
        return Columns(values) if isinstance(index, slice) else values


def from_records(records: Sequence[dict], use_box: bool) -> tuple | None:
    """Image ids, category ids, scores and boxes; None when one of them is not of its type."""
    # array() is stricter than numpy: 'q' takes nothing but integers, 'd' nothing but numbers.
    try:
        image_ids, category_ids, score = (
            np.array(array(code, map(itemgetter(name), records)))
            for code, name in (('q', 'image_id'), ('q', 'category_id'), ('d', 'score'))
        )
        if not use_box:
            return image_ids, category_ids, score, None
        boxes = list(map(itemgetter('bbox'), records))
        if set(map(len, boxes)) != {4}:
            return None
        boxes = np.array(array('d', chain.from_iterable(boxes))).reshape(-1, 4)
        return image_ids, category_ids, score, boxes
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def from_columns(columns: Columns, use_box: bool) -> tuple | None:
    """The same from columns."""
    try:
        image_ids, category_ids, score = (
            np.asarray(columns.columns[name]) for name in ('image_id', 'category_id', 'score')
        )
        boxes = np.asarray(columns.columns['bbox']) if use_box else None
    except (KeyError, ValueError):
        return None
    if image_ids.dtype.kind not in 'iu' or category_ids.dtype.kind not in 'iu':
        return None
    if score.dtype.kind not in 'iuf' or score.ndim != 1:
        return None
    if boxes is not None:
        if boxes.dtype.kind not in 'iuf' or boxes.shape != (len(columns), 4):
            return None
        boxes = boxes.astype(np.float64)
    return image_ids, category_ids, score.astype(np.float64), boxes


def position(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of each value in sorted known ones; -1 where it is not there."""
    if not len(known):
        return np.full(len(values), -1)
    found = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found[known[found] != values] = -1
    return found


def is_finite(value: Any) -> bool:
    return (
        isinstance(value, (int, float, np.number))
        and not isinstance(value, bool)
        and abs(value) < np.inf
    )
