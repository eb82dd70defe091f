"""Commands to be killed, and what shows that nothing was lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from child import command
from tiny_detector import config_text, state

CHECKPOINTS = {
    'by epoch': "interval=1, max_keep_ckpts=1, save_best='lvis/bbox_AP', rule='greater'",
    'by iteration': 'by_epoch=False, interval=1, max_keep_ckpts=1',
}


def nothing(out: Path, log: str) -> list[str]:
    return []


class Target(NamedTuple):
    """A command that is killed.

    Args:
        name: Name in the results.
        start: For an output folder, what runs the command.
        go_on: For that folder, what runs it again after it was killed.
        differs: What differs between an output folder and that of a run that nobody killed.
        unsaved: What is wrong with what was saved when it was killed, given its log.
    """

    name: str
    start: Callable[[Path], Callable]
    go_on: Callable[[Path], Callable]
    differs: Callable[[Path, Path], list[str]]
    unsaved: Callable[[Path, str], list[str]] = nothing


def write_config(folder: Path, data: Path, checkpoints: str) -> Path:
    path = folder / f'{checkpoints.replace(" ", "_")}.py'
    path.write_text(config_text(data, CHECKPOINTS[checkpoints]))
    return path


def training(config: Path, checkpoints: str) -> Target:
    """``lt_det train``, killed in reading, saving, validation or the report."""
    every = 1 if checkpoints == 'by iteration' else 3

    def start(out: Path, *more: str) -> Callable:
        return command('train', config, '--work-dir', out, *more)

    def unsaved(out: Path, log: str) -> list[str]:
        done, at = log.count('ITERATION'), state(out)[0]
        # an iteration is done before what it ends is saved
        return [] if at >= (done - 1) // every * every else [f'{done} done, {at} saved']

    def differs(out: Path, straight: Path) -> list[str]:
        import torch

        (at, ours), (end, theirs) = state(out), state(straight)
        if at != end or ours.keys() != theirs.keys():
            return [f'ends at iteration {at} rather than {end}']
        return [f'{key} differs' for key in ours if not torch.equal(ours[key], theirs[key])][:1]

    name = f'training, checkpoints {checkpoints}'
    return Target(name, start, lambda out: start(out, '--resume'), differs, unsaved)


def evaluation(config: Path, checkpoint: Path) -> Target:
    """``lt_det test`` and the report of it."""

    def start(out: Path) -> Callable:
        return command('test', config, checkpoint, '--work-dir', out)

    def differs(out: Path, straight: Path) -> list[str]:
        one, other = (
            json.loads(next(p.rglob('metrics.json')).read_text()) for p in (out, straight)
        )
        return [] if one == other else ['other metrics']

    return Target('evaluation', start, start, differs)


def report(work_dir: Path) -> Target:
    """``lt_det report``."""

    def start(out: Path) -> Callable:
        out.mkdir(parents=True, exist_ok=True)
        return command('report', work_dir, '--out', out / 'report.html')

    def differs(out: Path, straight: Path) -> list[str]:
        return [] if (out / 'report.html').stat().st_size else ['no report']

    return Target('report', start, start, differs)


def calibration(config: Path, checkpoint: Path, held_out: Path) -> Target:
    """``lt_det calibrate``."""
    held = ('--held-out', held_out, '--resamples', 20, '--masks', 'none')

    def start(out: Path, *more: str) -> Callable:
        return command('calibrate', config, checkpoint, *held, '--out', out, *more)

    def differs(out: Path, straight: Path) -> list[str]:
        # but for the folder, which the choice names
        return [
            name
            for name in ('choice.json', 'sweep.csv')
            if (out / name).read_text().replace(str(out), '')
            != (straight / name).read_text().replace(str(straight), '')
        ]

    return Target('calibration', start, lambda out: start(out, '--resume'), differs)


def annotation_cache(source: Path) -> Target:
    """The column cache of a large annotation file, which a second process waits for."""

    def start(out: Path) -> Callable:
        out.mkdir(parents=True, exist_ok=True)
        path = out / 'large.json'
        if not path.exists():
            os.link(source, path)

        def call() -> None:
            import numpy as np

            from lt_det.formats.annotation_cache import load_columns

            columns = load_columns(path)
            digest = {k: hash(np.asarray(v).tobytes()) for k, v in columns.arrays.items()}
            (out / 'digest.txt').write_text(repr(sorted(digest.items())))

        return call

    def differs(out: Path, straight: Path) -> list[str]:
        one, other = ((p / 'digest.txt').read_text() for p in (out, straight))
        return [] if one == other else ['other columns']

    return Target('annotation cache', start, start, differs)


def large_file(source: Path, path: Path) -> Path:
    """Write an annotation file with 30,000 boxes, those of another again and again."""
    content = json.loads(source.read_text())
    few = len(content['annotations'])
    content['annotations'] = [
        {**content['annotations'][n % few], 'id': n + 1} for n in range(30_000)
    ]
    path.write_text(json.dumps(content))
    return path
