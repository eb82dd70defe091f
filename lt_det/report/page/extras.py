"""What a page shows besides the evaluation: training curves, calibration, inspection."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ...errors import UserError
from .run_files import RunFiles

_CURVES = (
    *(f'{kind}_{name}' for kind in ('bbox', 'segm') for name in ('AP', 'APr', 'APc', 'APf')),
    *('top1', 'macro', 'many', 'medium', 'few'),
)
_LARGEST_TRAIN = 200_000_000  # bytes of a training json that is read for its inspection


def curves(run: RunFiles) -> dict | None:
    """``curves`` of the schema, from the ``scalars.json`` of the run; None without any.

    The parts of a training that was resumed are joined: a later part replaces what an earlier one
    has from its first iteration on. Validations are placed at the last iteration logged before.
    """
    loss: dict[int, float] = {}
    rate: dict[int, float] = {}
    metrics: dict[str, dict[int, float]] = {}
    for path in sorted(run.home.glob('*/vis_data/scalars.json')):
        rows = _rows(path)
        steps = [row['step'] for row in rows if 'loss' in row and 'step' in row]
        if not steps:  # of a test
            continue
        for values in (loss, rate, *metrics.values()):
            for step in [step for step in values if step >= steps[0]]:
                del values[step]
        last = steps[0]
        for row in rows:
            if 'loss' in row:
                last = row.get('step', last)
                loss[last] = row['loss']
                if 'lr' in row:
                    rate[last] = row['lr']
                continue
            for key, value in row.items():
                name = key.split('/')[-1]
                wanted = not key.startswith(('test/', 'long_tail/')) and name in _CURVES
                if wanted and isinstance(value, (int, float)) and value >= 0:
                    metrics.setdefault(name, {})[last] = value
    if not loss:
        return None
    return {
        'loss': _points(loss),
        'lr': _points(rate),
        'metrics': {name: _points(values) for name, values in metrics.items() if values},
    }


def calibration_html(run: RunFiles) -> str | None:
    """``calibration_html`` of the schema: of the work dir or of ``calibrated`` in it."""
    for folder in (run.home, run.home / 'calibrated'):
        if not (folder / 'choice.json').is_file() or not (folder / 'sweep.csv').is_file():
            continue
        from ...calibration.choice import read_choice
        from ...calibration.page import STYLE, calibration_section
        from ...calibration.sweep_file import read_sweep

        try:
            choice, sweep = read_choice(folder / 'choice.json'), read_sweep(folder / 'sweep.csv')
            return f'<style>{STYLE}</style>{calibration_section(choice, sweep)}'
        except UserError as error:
            run.notes.append(f'no calibration: {error}')
            return None
    return None


def inspection(run: RunFiles) -> dict | None:
    """``inspect`` of the schema, of the annotation files of a detector."""
    train, val = run.note.get('train_ann_file'), run.note.get('ann_file')
    if run.note.get('kind') != 'detector' or not train or not val:
        return None
    if not os.path.isfile(train) or not os.path.isfile(val):
        run.notes.append('no inspection: an annotation file is not there')
        return None
    if Path(train).stat().st_size > _LARGEST_TRAIN:
        run.notes.append('no inspection: of so large a training file, lt_det inspect shows it')
        return None
    from ...inspection import inspect_files

    return inspect_files(train, val).as_dict()


def _rows(path: Path) -> list[dict]:
    """The lines that are whole; the last one of a run that was killed may not be."""
    rows = []
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and _are_plain(row):
            rows.append(row)
    return rows


def _are_plain(row: dict) -> bool:
    """Whether what is drawn of a line are numbers."""
    drawn = [row[key] for key in ('loss', 'lr') if key in row]
    return type(row.get('step', 0)) is int and all(type(v) in (int, float) for v in drawn)


def _points(values: dict[int, float]) -> list[list[float]]:
    """Finite values by iteration: json has no NaN."""
    return [[step, v] for step, v in sorted(values.items()) if v == v and abs(v) != float('inf')]
