"""A part of a config that cannot be built is named by its key."""

from __future__ import annotations

import copy
import errno
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmdet.registry import DATASETS, HOOKS, MODELS, TRANSFORMS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.runner import Runner

import lt_det.components  # noqa: F401
from lt_det.cli.common import user_errors
from lt_det.cli.config_errors import config_errors, warn_of_misspelt_keys
from lt_det.errors import BadInputError, DataWarning, UserError

from .. import tool_process

MODEL = dict(
    type='AnyDetector',
    backbone=dict(type='ResNet', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(type='FPN', in_channels=[64, 128, 256, 512], out_channels=16, num_outs=5),
)
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(8, 8))]
CONFIG = dict(
    model=MODEL,
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        dataset=dict(
            type='CocoDataset', ann_file='a.json', data_prefix=dict(img=''), pipeline=PIPELINE
        ),
        sampler=dict(type='DefaultSampler', shuffle=True),
    ),
    val_dataloader=dict(dataset=dict(type='CocoDataset', pipeline=PIPELINE, lazy_init=True)),
    custom_hooks=[dict(type='EMAHook')],
)


@pytest.fixture(autouse=True)
def registered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = dict(id=1, height=8, width=8, file_name='a.png')
    Path('a.json').write_text(json.dumps(dict(images=[image], annotations=[], categories=[])))
    register_all_modules(init_default_scope=True)


def changed(key: str, value: object) -> Config:
    """The config with another value."""
    cfg = Config(copy.deepcopy(CONFIG))
    object.__setattr__(cfg, '_filename', 'mine.py')  # as if it were read
    cfg.merge_from_dict({key: value})
    return cfg


def build(cfg: Config) -> None:
    MODELS.build(cfg.model.backbone)
    MODELS.build(cfg.model.neck)
    Runner.build_dataloader(cfg.train_dataloader)
    DATASETS.build(cfg.val_dataloader.dataset)
    HOOKS.build(cfg.custom_hooks[0])


def test_a_config_that_is_right():
    with config_errors(changed('a', 1)):
        build(changed('a', 1))


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('model.backbone.depth', 17, r'model\.backbone \(ResNet\) cannot be built: KeyError: .*17'),
        ('model.backbone.depht', 3, r'model\.backbone\.depht is 3, but ResNet has no such option'),
        ('model.neck.type', 'PAFPM', r"model\.neck\.type is 'PAFPM', which is .*mean 'PAFPN'"),
        ('model.neck.type', 3, r'model\.neck \(3\) cannot be built: TypeError: type must be a str'),
        ('model.neck.num_outs', 1, r'model\.neck \(FPN\) cannot be built: AssertionError'),
        (
            'train_dataloader.dataset.pipeline.1.scale_factor',
            'x',
            r'train_dataloader\.dataset\.pipeline\.1 \(Resize\) cannot be built: TypeError',
        ),
        (
            'val_dataloader.dataset.pipeline.1.typ',
            'x',
            r'val_dataloader\.dataset\.pipeline\.1\.typ is .x., but Resize has no such option',
        ),
        ('train_dataloader.batch_size', 'x', r'train_dataloader cannot be built: \w+Error: '),
        ('train_dataloader.bach', 3, r'train_dataloader\.bach is 3, but .* has no such option'),
        ('custom_hooks.0.begin_iter', -1, r'custom_hooks\.0 \(EMAHook\) cannot be built: Ass'),
    ],
)
def test_a_part_that_cannot_be_built(key, value, message):
    cfg = changed(key, value)
    with (
        pytest.raises(BadInputError, match=rf'config mine\.py: {message}') as caught,
        config_errors(cfg),
    ):
        build(cfg)
    assert str(caught.value).endswith('; --verbose shows where')
    assert not isinstance(caught.value.__cause__, UserError)


def test_a_config_that_lacks_what_a_runner_needs():
    cfg = changed('work_dir', 'x')
    message = r'config mine\.py: cannot be used: ValueError: train_dataloader, train_cfg, and optim'
    with pytest.raises(BadInputError, match=message), config_errors(cfg):
        Runner.from_cfg(cfg)


@pytest.mark.parametrize('part', ['train', 'val', 'test'])
def test_a_loop_that_cannot_be_built(part):
    cfg = changed(f'{part}_cfg', dict(by_epoch=True, max_epoch=1) if part == 'train' else dict(a=1))
    loaders = {f'_{part}_{what}': {} for what in ('dataloader', 'evaluator')}
    message = rf'config mine\.py: {part}_cfg\.(max_epoch|a) is 1, but it has no such option'
    with pytest.raises(BadInputError, match=message), config_errors(cfg):
        getattr(Runner, f'build_{part}_loop')(SimpleNamespace(**loaders), cfg[f'{part}_cfg'])


@pytest.mark.parametrize(
    ('key', 'near'),
    [
        ('custom_hook', 'custom_hooks'),
        ('train_dataloder', 'train_dataloader'),
        ('load_form', 'load_from'),
        ('optim_wraper', 'optim_wrapper'),
        ('tta_models', 'tta_model'),
    ],
)
def test_a_key_that_is_almost_one_that_is_read(key, near):
    message = f"config mine.py: nobody reads '{key}'; did you mean '{near}'"
    with pytest.warns(DataWarning, match=message):
        warn_of_misspelt_keys(changed(key, {}))


@pytest.mark.parametrize(
    'key', ['data_root', 'train_dataset', 'val_pipeline', 'batch_size', 'vis_backends', 'resume']
)
def test_a_variable_of_a_config_is_no_misspelt_key(key):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warn_of_misspelt_keys(changed(key, 1))


def test_other_errors_pass():
    class Full:
        def __init__(self) -> None:
            raise OSError(errno.ENOSPC, 'No space left on device')

    cfg = changed('a', 1)
    with pytest.raises(ZeroDivisionError), config_errors(cfg):
        raise ZeroDivisionError  # not where anything is built
    with pytest.raises(UserError, match='^ours$'), config_errors(cfg):
        raise UserError('ours')
    with pytest.raises(OSError, match='No space'), config_errors(cfg):
        TRANSFORMS.build(dict(type=Full))


def test_where_it_came_from_is_shown_on_request(capsys):
    for verbose in (False, True):
        with pytest.raises(SystemExit), user_errors(verbose):
            try:
                raise ZeroDivisionError
            except ZeroDivisionError as error:
                raise UserError('in other words') from error
        said = capsys.readouterr().err
        assert said.endswith('error: in other words\n')
        assert ('Traceback' in said and 'ZeroDivisionError' in said) == verbose


def test_the_tool_says_one_line(tmp_path):
    (tmp_path / 'mine.py').write_text(
        f"_base_ = ['{tool_process.ROOT}/configs/glyphs/mask_rcnn_r18_softmax_demo.py']\n"
        'model = dict(backbone=dict(depth=19))\n'
    )
    done = tool_process.run('-m', 'lt_det', 'train', tmp_path / 'mine.py', cwd=tmp_path)
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(error) == 1
    assert 'model.backbone (ResNet) cannot be built: KeyError' in error[0]
