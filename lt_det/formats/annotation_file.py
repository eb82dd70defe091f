"""Reading an LVIS or COCO json as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import BadInputError, MissingFileError

WHERE_TO_GET = 'LVIS: www.lvisdataset.org; a data set to try: tools/dataset/make_glyphs.py'


def check_is_file(path: Path) -> None:
    if not path.is_file():
        raise MissingFileError(f'annotation file {path} does not exist ({WHERE_TO_GET})')


def read_json(path: Path) -> Any:
    """The content of a json in UTF-8, UTF-16 or UTF-32, with or without a byte order mark."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInputError(f'annotation file {path} is not json: {error}') from None


def sections_of(content: Any) -> dict[str, list]:
    """The lists ``images``, ``categories`` and, if it is there, ``annotations``.

    Raises:
        BadInputError: One of them is missing, null or no list.
    """
    if not isinstance(content, dict):
        found = type(content).__name__
        raise BadInputError(f"not in LVIS or COCO format: no list 'images', found {found}")
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
