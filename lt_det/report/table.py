"""The one table at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DETECTION_COLUMNS = ('AP', 'APr', 'APc', 'APf', 'AP50', 'AP75', 'APs', 'APm', 'APl')
CLASSIFICATION_COLUMNS = ('all', 'many', 'medium', 'few')
MORE_COLUMNS = ('macro', 'top5', 'ece')
IOU_TYPES = ('bbox', 'segm', 'boundary')


def format_table(metrics: Mapping[str, float]) -> str | None:
    """Metrics as aligned text: a row an IoU type, or one row of shot accuracies.

    Args:
        metrics: Values in 0..1 by key (``bbox_APr``; a prefix up to ``/`` is ignored). -1 stands
            for "no ground truth" and is printed as a dash.

    Returns:
        The table, or None where there is none of these metrics.
    """
    plain = {key.split('/')[-1]: value for key, value in metrics.items()}
    plain.setdefault('all', plain.get('top1'))
    rows = []
    for iou_type in IOU_TYPES:
        if f'{iou_type}_AP' in plain:
            rows.append(
                [iou_type, *(plain.get(f'{iou_type}_{name}') for name in DETECTION_COLUMNS)]
            )
    if rows:
        return _table(('', *DETECTION_COLUMNS), rows)
    if all(plain.get(name) is not None for name in CLASSIFICATION_COLUMNS):
        columns = (*CLASSIFICATION_COLUMNS, *(name for name in MORE_COLUMNS if name in plain))
        return _table(('', *columns), [['accuracy', *(plain[name] for name in columns)]])
    return None


def align(rows: Sequence[Sequence[str]]) -> str:
    """Cells as text, each column as wide as its widest cell, aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _table(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    return align([header, *([name, *map(_number, values)] for name, *values in rows)])


def _number(value: float | None) -> str:
    return '-' if value is None or value < 0 else f'{value:.3f}'
