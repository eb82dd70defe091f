"""Average precision of each category beside how often it was seen in training."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInputError
from ..formats.files import whole_file

if TYPE_CHECKING:
    from .lvis_eval import LVISEvaluator


def per_class_table(evaluators: Mapping[str, LVISEvaluator]) -> list[dict]:
    """One row per category.

    Args:
        evaluators: Evaluators that have scored the same detections, by IoU type.

    Returns:
        K dicts by ascending category id: category_id, name, frequency ('r', 'c', 'f' or ''),
        image_count and instance_count (in training, from the annotation file; None where it has no
        such count), and per IoU type bbox_AP or segm_AP in 0..1, -1 where the category has no
        annotation.
    """
    truth = next(iter(evaluators.values())).truth
    rows = [
        {
            'category_id': int(category['id']),
            'name': name,
            'frequency': group,
            'image_count': images,
            'instance_count': category.get('instance_count'),
        }
        for category, name, group, images in zip(
            truth.categories, truth.category_names, truth.frequency, truth.train_images
        )
    ]
    for iou_type, evaluator in evaluators.items():
        for row, ap in zip(rows, evaluator.category_ap().tolist()):
            row[f'{iou_type}_AP'] = ap
    return rows


def format_per_class(rows: list[dict]) -> str:
    """The rows as aligned text; a dash where a category has no annotation."""
    if not rows:
        return ''
    lines = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def write_per_class(rows: list[dict], path: str | os.PathLike) -> None:
    """Writes the rows.

    Args:
        rows: Of ``per_class_table``.
        path: A file that ends in .csv or .parquet; missing folders are made.

    Raises:
        BadInputError: The ending is another one, or pyarrow is missing for .parquet.
    """
    check_per_class_file(path)
    if Path(path).suffix == '.parquet':
        import pyarrow
        from pyarrow import parquet

        with whole_file(path) as part:
            parquet.write_table(pyarrow.Table.from_pylist([_as_unicode(row) for row in rows]), part)
        return
    with (
        whole_file(path) as part,
        part.open('w', newline='', encoding='utf-8', errors='replace') as file,
    ):
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _as_unicode(row: dict) -> dict:
    """? for what is no Unicode in a text, such as half a character of a json."""
    return {
        key: value.encode(errors='replace').decode() if isinstance(value, str) else value
        for key, value in row.items()
    }


def check_per_class_file(path: str | os.PathLike) -> None:
    """Raises BadInputError where ``write_per_class`` would, before any work is done."""
    ending = Path(path).suffix
    if ending not in ('.csv', '.parquet'):
        raise BadInputError(f'per-class file {path}: expected the ending .csv or .parquet')
    if ending == '.parquet' and find_spec('pyarrow') is None:
        raise BadInputError(f'per-class file {path}: .parquet needs pyarrow (pip install pyarrow)')


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'{value:.3f}' if value >= 0 else '-'
    return '-' if value is None else str(value)
