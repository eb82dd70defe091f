"""The text of the config for own data, for every model and method."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from lt_det.cli.config_code import code
from lt_det.cli.init import models
from lt_det.cli.own_config import OwnData, Schedule, config_text
from lt_det.cli.own_models import MODELS

CUSTOM = Path(__file__).resolve().parents[2] / 'configs/custom'
NAMES = tuple(f'a name of some length {label}' for label in range(1203))


def own(classes: int = 12, **change) -> OwnData:
    values = dict(
        train='data/a folder/annotations/train.json',
        val='data/a folder/annotations/val.json',
        images='data/a folder/images/',
        val_images='data/a folder/images/',
        classes=NAMES[:classes],
        names_file='mine_classes.txt',
        num_images=1000,
        protocol='coco',
        bounds=(5, 50),
        summary='1,000 images',
    )
    return OwnData(**{**values, **change})


@cache
def base(model: str) -> Config:
    return Config.fromfile(CUSTOM / f'{model}.py')


def heads_of(model: dict) -> list[dict]:
    """Configs of the heads that have class logits."""
    heads = model.get('bbox_head') or model.get('panoptic_head') or model.roi_head.bbox_head
    return heads if isinstance(heads, list) else [heads]


@pytest.mark.parametrize('model', models())
def test_every_model_with_every_method_is_at_most_30_lines(model, tmp_path):
    own_model = MODELS[model]
    for method, values in own_model.methods.items():
        for weights in (None, 'none', 'imagenet', 'detector.pth'):
            schedule = Schedule.of(1000, 4, 2, None)
            text = config_text(own(), model, method, schedule, weights, 'x', names_inline=False)
            assert text.count('\n') <= 30, text
            path = tmp_path / f'{method}_{weights}.py'
            path.write_text(text)
        cfg = Config.fromfile(path)
        for head in heads_of(cfg.model):
            assert head.get('num_classes', head.get('num_things_classes')) == 12
            assert head.loss_cls.get('num_classes', 12) == 12
            assert head.loss_cls.get('loss_weight', 1.0) == own_model.loss_weight
            if 'loss_cls' in values.head:
                assert head.loss_cls.type == values.head['loss_cls']['type']
        part = cfg.model if cfg.model.type == 'LongTail' else heads_of(cfg.model)[0]
        assert part.get('adjustment') == values.head.get('adjustment')
        assert cfg.val_evaluator.bounds == (5, 50)
        # here 4 x 2 images
        assert cfg.optim_wrapper.optimizer.lr == float(f'{own_model.lr * 8 / own_model.batch:.4g}')
        assert cfg.load_from == 'detector.pth'
        assert ('segm' in cfg.val_evaluator.metric) == own_model.masks
        assert (cfg.train_cfg.type, cfg.train_cfg.max_epochs) == ('EpochBasedTrainLoop', 36)
        assert cfg.default_hooks.checkpoint.interval == 1


def test_there_is_a_base_for_every_model():
    assert models() == sorted(path.stem for path in CUSTOM.glob('*.py'))


@pytest.mark.parametrize('model', models())
def test_what_init_knows_of_a_model_is_what_its_base_has(model):
    cfg, own_model = base(model), MODELS[model]
    assert cfg.optim_wrapper.optimizer.lr == own_model.lr
    assert cfg.auto_scale_lr.base_batch_size == own_model.batch
    weights = {head.loss_cls.loss_weight for head in heads_of(cfg.model)}
    assert weights == {own_model.loss_weight}
    loads = [step for step in cfg.train_dataloader.dataset.pipeline if 'with_mask' in step]
    assert bool(loads) == own_model.masks
    assert own_model.polygons == any(not step.get('poly2mask', True) for step in loads)
    switching = [hook for hook in cfg.custom_hooks if hook.type == 'PipelineSwitchHook']
    assert bool(switching) == own_model.switches
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[1].milestones) == (12, [8, 11])


@pytest.mark.parametrize('model', ['rtmdet_ins_s', 'dino_r50', 'mask2former_r50'])
def test_detectors_of_mmdetection_start_from_weights_of_imagenet_where_asked(model, tmp_path):
    lt_config = tmp_path / 'mine.py'
    schedule = Schedule.of(1000, 1, 4, None)
    lt_config.write_text(config_text(own(), model, 'iif', schedule, 'imagenet', 'x'))
    given = Config.fromfile(lt_config).model.backbone.init_cfg
    stock = Config.fromfile(CUSTOM.parent / f'_base_/detectors/{model}.py').model.backbone.init_cfg
    assert {**given, '_scope_': None} == {**stock, '_scope_': None}


def test_the_last_epochs_of_a_longer_training_are_without_mosaic(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        config_text(own(), 'rtmdet_ins_s', 'rfs', Schedule.of(1000, 1, 4, 36), None, 'x')
    )
    hooks = {hook.type: hook for hook in Config.fromfile(path).custom_hooks}
    assert hooks['PipelineSwitchHook'].switch_epoch == 30
    assert {'EMAHook', 'ClassFrequencyHook'} <= hooks.keys()


def test_the_bases_start_from_weights_that_mmdetection_publishes():
    import mmdet

    zoo = Path(mmdet.__file__).parent / '.mim/configs'
    published = '\n'.join(path.read_text() for path in zoo.glob('*/metafile.yml'))
    if not published:
        pytest.skip('MMDetection is installed without its configs')
    for model in models():
        weights = base(model).load_from
        assert weights is None or f'Weights: {weights}\n' in published


@pytest.mark.parametrize(
    ('images', 'epochs', 'expected'),
    [(100_000, None, 12), (3000, None, 12), (1000, None, 36), (10, None, 72), (10, 3, 3)],
)
def test_few_images_are_shown_more_often(images, epochs, expected):
    schedule = Schedule.of(images, 2, 4, epochs)
    assert schedule.epochs == expected
    assert schedule.iterations == expected * -(-images // 8)


@pytest.mark.parametrize(
    'value',
    [
        dict(a=1, b=dict(c='x y', d=[1, 2.5, None], e=(1,))),
        dict(names=NAMES[:20], more=[dict(a=NAMES[:3], b=dict(c=dict(d=NAMES[:7])))] * 2),
        list(NAMES[:40]),
    ],
)
def test_code_is_the_value_in_lines_of_100(value):
    text = code(value, 0)
    assert eval(text) == value
    assert max(map(len, text.split('\n'))) <= 100
