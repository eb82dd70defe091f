"""One record of an LVIS or COCO json: what its values may be, and the message where they are not.

Numbers of ids may be whole floats, which table tools write; ``null`` is what a missing key is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import BadInputError
from .annotation_refusals import SINGULAR

FEDERATED_LISTS = ('neg_category_ids', 'not_exhaustive_category_ids')
BBOX = '4 finite numbers x, y, width, height'
ID = 'an integer'

_NUMBERS = (int, float, np.integer, np.floating)
_BOOLS = (bool, np.bool_)
_LISTS = (list, tuple, np.ndarray)


class Record:
    """A record of ``images``, ``annotations`` or ``categories``, and how messages name it."""

    def __init__(self, section: str, index: int, record: Any) -> None:
        self.name = f'{section}[{index}]'
        if not isinstance(record, dict):
            raise BadInputError(f'{self.name} is {shown(record)}; expected a record with keys')
        self.record = record
        self.id = self.whole('id', ID)
        self.name = f'{SINGULAR[section]} {self.id}'

    def needed(self, key: str, expected: str) -> Any:
        if key not in self.record:
            raise BadInputError(f"{self.name} has no '{key}'; expected {expected}")
        return self.record[key]

    def refuse(self, key: str, expected: str) -> BadInputError:
        return refusal(self.name, key, self.record[key], expected)

    def whole(self, key: str, expected: str, least: int = -(2**63)) -> int:
        value = whole(self.needed(key, expected))
        if value is None or value < least:
            raise self.refuse(key, expected)
        return value

    def flag(self, key: str) -> bool:
        """0, 1, false, true or null."""
        value = self.record.get(key)
        if value is None:
            return False
        if not isinstance(value, _NUMBERS + _BOOLS) or value not in (0, 1):
            raise self.refuse(key, '0 or 1')
        return bool(value)

    def text(self, key: str) -> str:
        """A text; empty where it is missing or null."""
        value = self.record.get(key)
        if value is not None and not isinstance(value, str):
            raise self.refuse(key, 'a text')
        return value or ''

    def url(self, key: str) -> str:
        """A text; empty where it is missing, null, or a number, which is no address."""
        return '' if number(self.record.get(key)) is not None else self.text(key)

    def id_list(self, key: str) -> list[int] | None:
        """Whole numbers; None where the list is missing or null."""
        values = self.record.get(key)
        if values is None:
            return None
        numbers = [whole(value) for value in values] if isinstance(values, _LISTS) else [None]
        if None in numbers:
            raise self.refuse(key, 'a list of category ids (integers)')
        return numbers

    def box(self) -> list[float]:
        values = self.needed('bbox', BBOX)
        numbers = [number(value) for value in values] if isinstance(values, _LISTS) else []
        if len(numbers) != 4 or None in numbers or not all(map(math.isfinite, numbers)):
            raise self.refuse('bbox', BBOX)
        return numbers

    def area(self) -> float | None:
        """None where it is missing or null."""
        value = self.record.get('area')
        if value is not None and number(value) is None:
            raise self.refuse('area', 'a number of pixels')
        return None if value is None else number(value)


def annotation_record(index: int, record: Any) -> tuple[dict, bool]:
    """An annotation in the types of a plain file, and whether its area had to be computed."""
    checked = Record('annotations', index, record)
    box, area = checked.box(), checked.area()
    return {
        'id': checked.id,
        'image_id': checked.whole('image_id', ID),
        'category_id': checked.whole('category_id', ID),
        'bbox': box,
        'area': box[2] * box[3] if area is None else area,
        'ignore': checked.flag('ignore'),
        'iscrowd': checked.flag('iscrowd'),
        'segmentation': record.get('segmentation'),
    }, area is None


def category_record(index: int, record: Any) -> dict:
    """A category, its id an integer and its name a text."""
    checked = Record('categories', index, record)
    name = checked.needed('name', 'a text')
    if isinstance(name, _NUMBERS) and not isinstance(name, _BOOLS):
        name = str(name)
    if not isinstance(name, str):
        raise checked.refuse('name', 'a text')
    return {**record, 'id': checked.id, 'name': name}


def whole(value: Any) -> int | None:
    """An integer of 64 bits, given as such or as a float; None for everything else."""
    if isinstance(value, _BOOLS) or not isinstance(value, _NUMBERS):
        return None
    if isinstance(value, (float, np.floating)) and not float(value).is_integer():
        return None
    value = int(value)
    return value if -(2**63) <= value < 2**63 else None


def number(value: Any) -> float | None:
    """A number as a float; None for everything else."""
    if isinstance(value, _BOOLS) or not isinstance(value, _NUMBERS):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def refusal(name: str, key: str, value: Any, expected: str) -> BadInputError:
    return BadInputError(f'{name} has {key} {shown(value)}; expected {expected}')


def shown(value: Any) -> str:
    """A value in a message of one line."""
    if value is None:
        return 'null'
    text = ' '.join(repr(value).split())
    return text if len(text) <= 100 else f'{text[:100]}...'


def first_of(values: Sequence | np.ndarray, most: int = 5) -> str:
    """The first of some values, for a message."""
    start = ', '.join(str(value) for value in values[:most])
    return start + (', ...' if len(values) > most else '')
