"""Environments with one family of the OpenMMLab packages, with both, with none."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from lt_det.compat import families
from lt_det.errors import DataWarning, MissingPackageError, UserError

ROOT = Path(__file__).resolve().parents[2]
FORKS = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmpretrain': '1.3.6',
}
FORK_LINE = 'pip install onedl-mmengine onedl-mmcv onedl-mmdetection onedl-mmpretrain'
ORIGINAL_LINE = 'pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0 mmpretrain==1.2.0'


@pytest.fixture
def environment(monkeypatch):
    """Sets the distributions that are installed."""

    def be(distributions: dict[str, str]) -> None:
        def version(name: str) -> str:
            if name not in distributions:
                raise PackageNotFoundError(name)
            return distributions[name]

        monkeypatch.setattr(families, 'version', version)

    return be


def test_no_family_both_remedies(environment):
    environment({})
    error = families.missing_package('mmdet')
    assert isinstance(error, UserError) and isinstance(error, ModuleNotFoundError)
    assert error.name == 'mmdet'
    assert str(error) == (
        'mmdet is not installed, and this part of lt_det needs it: '
        f'{FORK_LINE} (the maintained forks), or {ORIGINAL_LINE} (the originals)'
    )


@pytest.mark.parametrize(
    ('present', 'remedy'),
    [
        ({'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}, 'mmpretrain==1.2.0 (the orig'),
        ({k: v for k, v in FORKS.items() if 'pretrain' not in k}, 'onedl-mmpretrain (the maint'),
    ],
)
def test_a_part_that_is_missing_comes_from_the_family_that_is_there(environment, present, remedy):
    environment(present)
    message = str(families.missing_package('mmpretrain'))
    assert message.startswith('mmpretrain is not installed')
    assert f'pip install {remedy}' in message
    assert message.count('pip install') == 1


def test_both_families_at_once(environment):
    environment(FORKS | {'mmdet': '3.3.0', 'mmcv-lite': '2.1.0'})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        families.warn_of_mixtures()
    assert all(issubclass(each.category, DataWarning) for each in caught)
    mmcv, mmdet = (str(each.message) for each in caught)
    assert 'onedl-mmcv 2.3.6 and mmcv-lite 2.1.0 are both installed' in mmcv
    assert mmdet.endswith(
        'in mmdet/; keep one: pip uninstall -y onedl-mmdetection mmdet, then either '
        'pip install onedl-mmdetection or pip install mmdet==3.3.0'
    )


@pytest.mark.parametrize('present', [FORKS, {'mmengine': '0.10.7', 'mmcv': '2.1.0'}, {}])
def test_one_family_is_no_mixture(environment, present):
    environment(present)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        families.warn_of_mixtures()


@pytest.fixture(scope='module')
def bare(tmp_path_factory) -> Path:
    """The packages of this environment without either family, as links."""
    folder = tmp_path_factory.mktemp('bare')
    for path in (Path(torch.__file__).parents[1]).iterdir():
        family = path.name.lower().startswith(('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'onedl'))
        # neither the links to source trees
        if not family and not path.name.endswith('.pth'):
            (folder / path.name).symlink_to(path)
    return folder


def python(bare: Path, *arguments: str) -> subprocess.CompletedProcess:
    """A process in the environment without a family."""
    env = {key: value for key, value in os.environ.items() if not key.startswith('PYTHON')}
    env['PYTHONPATH'] = os.pathsep.join([str(ROOT), str(bare)])
    command = [sys.executable, '-S', *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def without(bare: Path, code: str) -> str:
    done = python(bare, '-c', code)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


WORKS = """
import sys, importlib.util, json
import lt_det.formats, lt_det.frequency, lt_det.evaluation, lt_det.adjustments
from lt_det.evaluation import LVISEvaluator
from lt_det.frequency import ClassFrequency
truth = dict(
    images=[dict(id=1, width=10, height=10, not_exhaustive_category_ids=[], neg_category_ids=[])],
    categories=[dict(id=1, name='a', frequency='r', image_count=1, instance_count=1)],
    annotations=[dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 5, 5], area=25, iscrowd=0,
                      segmentation=[[1, 1, 6, 1, 6, 6, 1, 6]])],
)
found = [dict(image_id=1, category_id=1, bbox=[1, 1, 5, 5], score=0.5)]
print(round(LVISEvaluator(truth, iou_type='bbox').evaluate(found)['AP'], 9))
with open(sys.argv[1], 'w') as file:
    json.dump(truth, file)
frequency = ClassFrequency.from_annotation_file(sys.argv[1])
adjustment = lt_det.adjustments.build_adjustment(dict(type='IIF'), frequency)
print(frequency.image_count.tolist(), adjustment.scale.shape)
# others who look find no package, and no error
print([importlib.util.find_spec(name) for name in ('mmengine', 'mmdet')])
try:
    import mmdet
except ModuleNotFoundError as error:
    print(type(error).__name__, error)
"""


def test_the_core_works_without_any(bare, tmp_path):
    done = python(bare, '-c', WORKS, str(tmp_path / 'truth.json'))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [
        '1.0',
        '[1] torch.Size([2])',
        '[None, None]',
        "ModuleNotFoundError No module named 'mmdet'",
    ]


NEED = (
    'lt_det.models',
    'lt_det.engine',
    'lt_det.components',
    'lt_det.datasets.long_tail_lvis',
    'lt_det.evaluation.lvis_metric',
)
EACH = """
import importlib
from lt_det.errors import MissingPackageError
for name in %r:
    try:
        importlib.import_module(name)
    except MissingPackageError as error:
        print(error)
try:
    from lt_det.datasets import LongTailLVISDataset
except MissingPackageError as error:
    print(error)
"""


def test_what_needs_one_says_how_to_install_it(bare):
    lines = without(bare, EACH % (NEED,)).splitlines()
    assert len(lines) == len(NEED) + 1
    assert all(FORK_LINE in line and ORIGINAL_LINE in line for line in lines)


@pytest.mark.parametrize('command', [('-m', 'lt_det', 'train'), ('tools/test.py',)])
def test_the_command_line_ends_with_one_line(bare, command):
    config = 'configs/glyphs/mask_rcnn_r18_iif_demo.py'
    checkpoint = ('README.md',) * (command[-1] != 'train')
    done = python(bare, *command, config, *checkpoint)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert done.stderr.startswith('error: mm') and FORK_LINE in done.stderr


def test_here_nothing_is_missing():
    assert any(type(finder).__name__ == '_Missing' for finder in sys.meta_path)
    assert find_spec('mmdet') is not None
    families.install()  # once
    assert sum(type(finder).__name__ == '_Missing' for finder in sys.meta_path) == 1
    assert issubclass(MissingPackageError, ImportError)
