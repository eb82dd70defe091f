"""docs/extending.md, followed in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from lt_det.datasets.glyphs import make_crops

from .. import tool_process
from .test_links import ROOT, fences

PAGE = ROOT / 'docs/extending.md'
FILE = re.compile(r'# ([\w/]+\.py)\n')


def run(folder: Path, *command) -> str:
    """What a command prints in a folder; ``lt_det`` is this one."""
    program = ['-m', 'lt_det'] if command[0] == 'lt_det' else []
    path = f'{ROOT}{os.pathsep}.'
    done = tool_process.run(*program, *command[1:], cwd=folder, env=dict(PYTHONPATH=path))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """The files of the page, below a folder that has nothing else."""
    folder = tmp_path_factory.mktemp('my_work')
    (folder / 'my_long_tail').mkdir()
    for body in fences(PAGE, 'python'):
        (folder / FILE.match(body)[1]).write_text(body, encoding='utf-8')
    return folder


def commands() -> list[list[str]]:
    """Lines of the page that are typed, but for making folders."""
    lines = '\n'.join(fences(PAGE, '')).splitlines()
    words = [shlex.split(line.removeprefix('PYTHONPATH=. ')) for line in lines]
    return [line for line in words if line and line[0] in ('python', 'lt_det')]


def test_rule_fits_into_40_lines():
    (rule,) = [body for body in fences(PAGE, 'python') if 'class MyNorCal' in body]
    assert len(rule.splitlines()) <= 40


def test_tests_of_the_page_pass(folder):
    assert '2 passed' in run(folder, 'python', '-m', 'pytest', '-q', '-p', 'no:cacheprovider')


ACCEPTED = """
import my_long_tail
from lt_det.adjustments import NorCal, build_adjustment
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from mmengine.config import Config
from mmpretrain.registry import DATASETS

frequency = ClassFrequency([80, 5, 1])
ours = build_adjustment(dict(type='MyNorCal', gamma=0.5), frequency)
theirs = build_adjustment(dict(type='NorCal', gamma=0.5), frequency)
assert ours.scale.equal(theirs.scale) and ours.shift.equal(theirs.shift)
for bad in (dict(gamma=-1), dict(gamma=1, stage='never')):
    try:
        build_adjustment(dict(type='MyNorCal', **bad), frequency)
    except BadInputError as error:
        print(error)
for name in ('my_norcal', 'my_rarity', 'my_csv'):
    config = Config.fromfile(f'{name}.py')
data = DATASETS.build(config.train_dataloader.dataset)
print(ClassFrequency.from_dataset(data))
data = config.train_dataloader.dataset
data.classes = data.classes[1:]
try:
    DATASETS.build(data)
except BadInputError as error:
    print(error)
"""


def test_parts_of_the_page_work(folder, tmp_path):
    make_crops(folder / 'data/glyphs/crops_tiny', 'crops_tiny', progress=False)
    run(folder, 'python', 'make_csv.py')
    (tmp_path / 'accepted.py').write_text(ACCEPTED)
    printed = run(folder, 'python', tmp_path / 'accepted.py')
    assert 'adjustment.gamma is -1, expected a number >= 0' in printed
    assert "adjustment.stage is 'never'" in printed
    assert 'ClassFrequency(8 classes: ' in printed
    assert re.search(r"train\.csv, line \d+: class 'airplane', expected one of classes", printed)


@pytest.mark.slow
def test_commands_of_the_page_run(folder):
    """An epoch each: what the demo data teach in three is not asked here."""
    for command in commands():
        line = [word.replace('epoch_3', 'epoch_1') for word in command]
        if command[:2] == ['lt_det', 'train']:
            line += ['--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
        printed = run(folder, *line)
        if command[0] == 'lt_det':
            assert re.search(r'AP|accuracy', printed)
