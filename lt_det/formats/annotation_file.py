"""Reading an LVIS or COCO json, with every defect named before training starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInputError, MissingFileError

WHERE_TO_GET = 'LVIS: www.lvisdataset.org; a data set to try: tools/dataset/make_glyphs.py'


def read_annotation_file(path: str | Path) -> dict[str, list[dict]]:
    """``images``, ``annotations`` and ``categories`` (sorted by id) of an LVIS or COCO json.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is no json, lacks one of the lists, repeats an id, or an annotation points
            to an image or category that is not there.
    """
    path = Path(path)
    check_is_file(path)
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f'annotation file {path} is not json: {error}') from error
    _check_keys(path, content)
    content['categories'] = sorted(content['categories'], key=lambda category: category['id'])
    _check_ids(path, content)
    return content


def check_is_file(path: Path) -> None:
    if not path.is_file():
        raise MissingFileError(f'annotation file {path} does not exist ({WHERE_TO_GET})')


def _check_keys(path: Path, content: Any) -> None:
    wanted = {
        'images': ('id', 'width', 'height'),
        'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
        'categories': ('id', 'name'),
    }
    for name, keys in wanted.items():
        records = content.get(name) if isinstance(content, dict) else None
        if not isinstance(records, list):
            found = sorted(content) if isinstance(content, dict) else type(content).__name__
            raise BadInputError(
                f"annotation file {path} is not in LVIS or COCO format: no list '{name}', found "
                f'{found}'
            )
        for index, record in enumerate(records):
            for key in keys:
                if not isinstance(record, dict) or key not in record:
                    raise BadInputError(
                        f"annotation file {path}: {name}[{index}] has no '{key}': {record!r:.120}"
                    )


def _check_ids(path: Path, content: dict[str, list[dict]]) -> None:
    ids = {}
    for name in ('images', 'annotations', 'categories'):
        values = [record['id'] for record in content[name]]
        ids[name] = set(values)
        if len(ids[name]) != len(values):
            unique, counts = np.unique(values, return_counts=True)
            raise BadInputError(
                f'annotation file {path}: id {unique[counts > 1][0]} occurs more than once in '
                f'{name}'
            )
    for key, name in (('category_id', 'categories'), ('image_id', 'images')):
        for annotation in content['annotations']:
            if annotation[key] not in ids[name]:
                raise BadInputError(
                    f'annotation file {path}: annotation {annotation["id"]} has {key} '
                    f'{annotation[key]}, which is not in {name} ({len(ids[name])} ids)'
                )
