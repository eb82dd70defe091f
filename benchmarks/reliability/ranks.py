"""Two processes of which one dies, is late, has no objects or no images, or that become one.

A tiny detector on glyphs is trained and tested by two processes that speak over gloo, with 15
seconds to wait for each other. What must come out is:

- dies, is late: the other ends within the time to wait and what a process needs to say so, in one
  line that names the process that is missing; under torchrun, which ends the other, its report
  names it;
- all others: training goes on, and at the end both processes have the same bits (weights, buffers
  of losses and layers), which are finite; metrics of two processes are those of one.

    python benchmarks/reliability/ranks.py
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks' / 'common'), str(Path(__file__).parent)]

from child import import_everything
from group import Group
from origin import option_parser
from outcome import write_outcome
from resume import SETTINGS
from tiny_detector import config_text, make_data, state

WAIT = 15  # seconds that processes wait for each other
NOTICE = 20  # seconds more until one has said so: marks of others, and the end of its data workers
CHECKPOINTS = 'by_epoch=False, interval=1, max_keep_ckpts=-1'
# By hand: found by reading and these tries, before those that results/reliability tells of.
FOUND = [
    'a process that waited in vain named itself, and not the one that had ended or was late',
    'lt_det test ended with a traceback where a process had ended or was late',
]

# What a hook does in one of the two processes: (where, rank, what).
ODD = """
import os, signal, time
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class OddRank(Hook):
    priority = 'VERY_HIGH'

    def __init__(self, where=None, rank=1, seconds=None):
        self.where, self.rank, self.seconds = where, rank, seconds

    def odd(self, where):
        if where != self.where or get_rank() != self.rank:
            return
        os.write(2, b'ODD NOW\\n')
        if self.seconds is None:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1:
            self.odd('iteration')

    def before_save_checkpoint(self, runner, checkpoint):
        self.odd('checkpoint')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 0:
            self.odd('validation')

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.odd('test')

    def after_train(self, runner):
        model = runner.model
        torch.save(model.state_dict(), f'{runner.work_dir}/rank{get_rank()}.pth')
"""
NO_OBJECTS = """
no_objects = dict(filter_empty_gt=False)
train_dataloader['dataset'].update(ann_file='annotations/half.json', filter_cfg=no_objects)
train_dataloader['sampler'] = dict(type='DefaultSampler', shuffle=False)
train_dataloader['batch_size'] = 1
"""
NO_ROI = """
model['train_cfg'] = dict(rpn_proposal=dict(min_bbox_size=1000))
"""
ONE_IMAGE = """
val_dataloader['dataset']['ann_file'] = 'annotations/one.json'
val_evaluator['ann_file'] = data_root + 'annotations/one.json'
test_dataloader, test_evaluator = val_dataloader, val_evaluator
"""


def write_data(folder: Path) -> Path:
    """Data of the tiny detector; ``half``: every second image without objects; ``one`` image."""
    data = make_data(folder)
    content = json.loads((data / 'annotations/train.json').read_text())
    empty = {image['id'] for image in content['images'][1::2]}
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] not in empty]
    (data / 'annotations/half.json').write_text(json.dumps(content))
    content = json.loads((data / 'annotations/val.json').read_text())
    content['images'] = content['images'][:1]
    shown = content['images'][0]['id']
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] == shown]
    (data / 'annotations/one.json').write_text(json.dumps(content))
    return data


def write_config(folder: Path, data: Path, name: str, more: str = '', **odd: object) -> Path:
    path = folder / f'{"".join(c for c in name if c.isalnum())}.py'
    path.write_text(
        f'{config_text(data, CHECKPOINTS)}\nenv_cfg = dict(dist_cfg=dict(timeout={WAIT}))\n'
        "custom_imports = dict(imports=['lt_det', 'odd_rank'], allow_failed_imports=False)\n"
        "custom_hooks.insert(0, dict(type='ModuleEpochHook'))\n"
        f"custom_hooks.append(dict(type='OddRank', **{odd!r}))\n{more}\n"
    )
    return path


def missing_is_named(group: Group, odd: int, dies: bool) -> list[str]:
    """What is wrong with what the other process has said and when it ended."""
    other, limit = 1 - odd, NOTICE + (0 if dies else WAIT)
    errors = [line for line in group.texts[other].splitlines() if line.startswith('error:')]
    problems = []
    if group.ends != [(-9 if dies else 2) if rank == odd else 2 for rank in (0, 1)]:
        problems.append(f'ended with {group.ends}')
    if group.seconds[other] > limit:
        problems.append(f'{group.seconds[other]:.0f} s until the other ended, {limit} expected')
    if len(errors) != 1 or f'waited in vain for process {odd},' not in errors[0]:
        problems.append(f'said {errors or group.texts[other][-300:]}')
    if 'Traceback' in ''.join(group.texts):
        problems.append('a traceback')
    return problems


def differing(one: dict, other: dict) -> list[str]:
    """Keys of two states that are not the same bits, or not finite."""
    import torch

    if one.keys() != other.keys():
        return sorted(one.keys() ^ other.keys())
    return [
        key
        for key, value in one.items()
        if not torch.equal(value, other[key]) or not torch.isfinite(value.double()).all()
    ]


def ranks_differ(out: Path) -> list[str]:
    """Keys of the models that two processes had at the end."""
    import torch

    return differing(*(torch.load(out / f'rank{rank}.pth') for rank in (0, 1)))


class Campaign:
    """The rows: each gives what is wrong with its outcome, nothing where it is right."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_data(folder)
        (folder / 'odd_rank.py').write_text(ODD)
        sys.path.insert(0, str(folder))
        self.whole: dict[int, Path] = {}

    def train(
        self, name: str, number: int, more: str = '', *arguments: object, **odd: object
    ) -> tuple[Group, Path]:
        config = write_config(self.folder, self.data, name, more, **odd)
        out = self.folder / config.stem
        return Group(number, out, 'train', config, '--work-dir', out, *arguments), out

    def undisturbed(self, number: int) -> Path:
        """Folder of a training by one or two processes to which nothing happened."""
        if number not in self.whole:
            group, out = self.train(f'whole {number}', number)
            if group.failures():
                raise SystemExit(f'{group.failures()}')
            self.whole[number] = out
        return self.whole[number]

    def missing(self, where: str, rank: int, seconds: float | None = None) -> list[str]:
        odd = dict(where=where, rank=rank, seconds=seconds)
        group, _ = self.train(f'missing {where} {rank} {seconds}', 2, **odd)
        return missing_is_named(group, rank, seconds is None)

    def missing_in_test(self, rank: int, seconds: float | None = None) -> list[str]:
        checkpoint = self.undisturbed(1) / 'iter_2.pth'
        name, odd = f'test {rank} {seconds}', dict(where='test', rank=rank, seconds=seconds)
        config = write_config(self.folder, self.data, name, **odd)
        out = self.folder / config.stem
        group = Group(2, out, 'test', config, checkpoint, '--work-dir', out)
        return missing_is_named(group, rank, seconds is None)

    def under_torchrun(self, rank: int) -> list[str]:
        name, odd = f'torchrun {rank}', dict(where='iteration', rank=rank, seconds=None)
        config = write_config(self.folder, self.data, name, **odd)
        program = [sys.executable, '-m', 'lt_det', 'train', str(config), '--gpus', '2']
        program += ['--work-dir', str(self.folder / config.stem)]
        path = os.pathsep.join((str(ROOT), str(self.folder)))
        done = subprocess.run(
            program,
            env={**os.environ, 'PYTHONPATH': path},
            capture_output=True,
            text=True,
            timeout=300,
        )
        cause = done.stderr.partition('Root Cause')[2]
        names = all(re.search(line, cause) for line in (rf'rank +: {rank} ', r'exitcode +: -9 '))
        good = done.returncode and names
        return [] if good else [f'ended with {done.returncode}: {done.stderr[-500:]}']

    def late_in_time(self) -> list[str]:
        odd = dict(where='iteration', rank=1, seconds=WAIT / 2)
        group, out = self.train('late in time', 2, **odd)
        if group.failures():
            return group.failures()
        whole = self.undisturbed(2)
        return ranks_differ(out) + differing(state(out)[1], state(whole)[1])

    def without(self, setting: str, more: str) -> list[str]:
        name = f'without {setting} {len(more)}'
        group, out = self.train(name, 2, f'{SETTINGS[setting]}\n{more}')
        return group.failures() or ranks_differ(out)

    def tested_without_images(self) -> list[str]:
        checkpoint = self.undisturbed(1) / 'iter_2.pth'
        config = write_config(self.folder, self.data, 'tested without images', ONE_IMAGE)
        outcomes = []
        for number in (1, 2):
            out = self.folder / f'{config.stem}{number}'
            boxes = self.folder / f'{config.stem}{number}.pkl'
            arguments = (config, checkpoint, '--work-dir', out, '--out', boxes)
            group = Group(number, out, 'test', *arguments)
            if group.failures():
                return group.failures()
            (image,) = pickle.loads(boxes.read_bytes())
            found = {key: image['pred_instances'][key] for key in ('bboxes', 'scores', 'labels')}
            outcomes.append((found, json.loads(next(out.rglob('metrics.json')).read_text())))
        (boxes, metrics), (others, other_metrics) = outcomes
        problems = differing(boxes, others)
        problems += [] if len(boxes['scores']) else ['no detections']
        return problems + ([] if metrics == other_metrics else [f'{metrics}, {other_metrics}'])

    def validated_without_images(self) -> list[str]:
        group, out = self.train('validated without images', 2, ONE_IMAGE)
        return group.failures() or ranks_differ(out)

    def resumed(self, before: int, after: int, iteration: int) -> list[str]:
        checkpoint = self.undisturbed(before) / f'iter_{iteration}.pth'
        name = f'resumed {before} {after} {iteration}'
        group, out = self.train(name, after, '', '--resume', checkpoint)
        if group.failures():
            return group.failures()
        problems = ranks_differ(out) if after == 2 else []
        if state(out)[0] != state(self.undisturbed(after))[0]:
            problems.append(f'ended at iteration {state(out)[0]}')
        words = f'the checkpoint is of {before} processes, this run has {after}'
        lines = [line for line in group.texts[0].splitlines() if words in line]
        if len(lines) != 1:
            problems.append(f'{len(lines)} lines say that the number of processes has changed')
        return problems

    def rows(self) -> dict[str, Callable[[], list[str]]]:
        rows: dict[str, Callable[[], list[str]]] = {}
        for where, rank in (
            *(('iteration', 0), ('iteration', 1), ('validation', 0), ('validation', 1)),
            ('checkpoint', 0),
        ):
            rows[f'process {rank} dies: {where}'] = partial(self.missing, where, rank)
        for where, rank in (('iteration', 0), ('iteration', 1), ('validation', 1)):
            row = partial(self.missing, where, rank, 60.0)
            rows[f'process {rank} is 60 s late: {where}'] = row
        for rank in (0, 1):
            rows[f'process {rank} dies: iteration, torchrun'] = partial(self.under_torchrun, rank)
        rows['process 1 dies: test'] = partial(self.missing_in_test, 1)
        rows['process 0 is 60 s late: test'] = partial(self.missing_in_test, 0, 60.0)
        rows[f'process 1 is {WAIT / 2} s late: it is waited for'] = self.late_in_time
        for setting in ('IIF, EMA', 'Seesaw', 'EQLv2', 'FASA', 'CAM calibration'):
            for name, more in (('objects', NO_OBJECTS), ('RoIs', NO_OBJECTS + NO_ROI)):
                row = partial(self.without, setting, more)
                rows[f'process 1 has no {name}: {setting}'] = row
        rows['process 1 has no images: test'] = self.tested_without_images
        rows['process 1 has no images: validation'] = self.validated_without_images
        for before, after, iteration in ((2, 1, 1), (2, 1, 2), (1, 2, 2), (1, 2, 3)):
            name = f'resumed by {after} rather than {before}, from iteration {iteration}'
            rows[name] = partial(self.resumed, before, after, iteration)
        return rows


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--only', help='rows whose names have this')
    args = parser.parse_args()
    import_everything()
    lost, rows = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, row in Campaign(Path(temporary)).rows().items():
            if args.only and args.only not in name:
                continue
            start, problems = time.monotonic(), row()
            rows[name] = 'as expected' if not problems else ', '.join(problems)[:500]
            lost += [f'{name}: {rows[name]}'] if problems else []
            print(f'{time.monotonic() - start:.0f} s', name, rows[name], sep=': ', flush=True)
    write_outcome(args.out, 'ranks', len(rows), lost, FOUND, rows=rows)


if __name__ == '__main__':
    main()
