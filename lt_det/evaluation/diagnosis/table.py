"""A diagnosis as text."""

from __future__ import annotations

from .errors import KINDS


def format_diagnosis(diagnosis: dict) -> str:
    """A short table for a terminal, one column per group.

    Args:
        diagnosis: Result of ``diagnose``.
    """
    groups = list(diagnosis['groups'])
    errors, scores = diagnosis['errors'], diagnosis['calibration']
    lines = [_line('classes', [str(diagnosis['groups'][g]) for g in groups])]
    lines.append(_line('AP50', [_points(errors[g]['AP50']) for g in groups]))
    lines.append('cost in AP50 points (number of errors)')
    for kind in KINDS:
        cells = [f'{_points(errors[g]["cost"][kind])} ({errors[g]["count"][kind]})' for g in groups]
        lines.append(_line(f'  {kind}', cells))
    lines.append('where objects go, % of annotations')
    for number, column in enumerate(diagnosis['confusion']['columns']):
        name = column if column in ('correct', 'missed') else f'to other class, {column}'
        counts = [diagnosis['confusion']['groups'][g] for g in groups]
        shares = [c[number] / sum(c) if sum(c) else None for c in counts]
        lines.append(_line(f'  {name}', [_points(share) for share in shares]))
    lines.append('scores')
    lines.append(_line('  calibration error', [_number(scores[g]['ece']) for g in groups]))
    for key, name in (('threshold', '  threshold of best F1'), ('f1', '  best F1')):
        best = [scores[g]['best_f1'] for g in groups]
        lines.append(_line(name, [_number(b and b[key]) for b in best]))
    head = f'{diagnosis["protocol"]} {diagnosis["iou_type"]}'
    return '\n'.join([_line(head, groups), *lines])


def _line(name: str, cells: list[str]) -> str:
    return f'{name:<24}' + ''.join(f'{cell:>16}' for cell in cells)


def _points(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.1f}'


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'
