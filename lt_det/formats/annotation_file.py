"""The parts of an LVIS or COCO json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BadInputError
from .files import check_is_file

WHERE_TO_GET = 'LVIS: www.lvisdataset.org; a data set to try: tools/dataset/make_glyphs.py'


def check_is_annotation_file(path: Path) -> None:
    check_is_file(path, 'annotation file', f' ({WHERE_TO_GET})')


def sections_of(content: Any) -> dict[str, list]:
    """The lists ``images``, ``categories`` and, if it is there, ``annotations``.

    Raises:
        BadInputError: One of them is missing, null or no list.
    """
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise BadInputError(f"not in LVIS or COCO format: no list 'images', found {kind}")
    sections = {}
    for name in ('images', 'annotations', 'categories'):
        records = content.get(name)
        if isinstance(records, list):
            sections[name] = records
        elif records is not None:
            raise BadInputError(f"'{name}' is {type(records).__name__}; expected a list of records")
        elif name != 'annotations':
            raise BadInputError(
                f"not in LVIS or COCO format: no list '{name}', found {sorted(map(str, content))}"
            )
    return sections
