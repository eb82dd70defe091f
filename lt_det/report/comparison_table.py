"""Two runs side by side, and whether their difference is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .table import align

COLUMNS = ('AP', 'APr', 'APc', 'APf')


def format_comparison(comparisons: Sequence[Mapping], names: Sequence[str]) -> str:
    """Text of comparisons of the same two runs: a table each, then the differences in words.

    Args:
        comparisons: Results of ``lt_det.evaluation.diagnosis.compare``, one an IoU type.
        names: Of the two runs.

    Returns:
        The metrics in 0..1 in rows named by the runs, their difference and the bounds of its 95%
        interval below them; then AP, and APr where there are rare classes, in one line each. One
        whose interval includes 0 is said to do so. Metrics without annotations are dashes.
    """
    parts = [_table(comparison, names) for comparison in comparisons]
    lines = []
    for comparison in comparisons:
        for name in ('AP', 'APr'):
            entry = comparison['metrics'].get(name)
            if entry and entry['interval']:
                lines.append(f'{comparison["iou_type"]} {name} {_in_words(entry)}')
    if lines:
        first = comparisons[0]
        lines.append(
            f'{names[1]} - {names[0]}; 95% intervals, paired bootstrap over '
            f'{first["num_images"]:,} images, {first["num_resamples"]:,} resamples'
        )
        parts.append('\n'.join(lines))
    return '\n\n'.join(parts)


def run_names(paths: Sequence[str | Path]) -> list[str]:
    """Names of runs: their paths, shortened to the first folder or file in which they differ."""
    parts = [Path(path).parts for path in paths]
    level = 0
    while level < min(map(len, parts)) - 1 and len({own[level] for own in parts}) == 1:
        level += 1
    names = [own[level] for own in parts]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _table(comparison: Mapping, names: Sequence[str]) -> str:
    found = [comparison['metrics'].get(name) for name in COLUMNS]
    rows = [
        [name, *(_value(entry and entry[key]) for entry in found)]
        for name, key in zip(names, ('a', 'b'), strict=True)
    ]
    rows.append(['difference', *(_signed(entry and entry['difference']) for entry in found)])
    for end, name in enumerate(('95% from', 'to')):
        bounds = [
            entry['interval'][end] if entry and entry['interval'] else None for entry in found
        ]
        rows.append([name, *map(_signed, bounds)])
    return align([[comparison['iou_type'], *COLUMNS], *rows])


def _in_words(entry: Mapping) -> str:
    low, high = entry['interval']
    text = f'{_signed(entry["difference"])} [{_signed(low)}, {_signed(high)}]'
    if low <= 0 <= high:
        text += ' includes 0: these images do not tell the runs apart'
    return text


def _value(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _signed(value: float | None) -> str:
    return '-' if value is None else f'{value:+.3f}'
