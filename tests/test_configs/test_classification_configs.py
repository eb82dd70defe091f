"""Every classification config: what it names exists, fits together and gives a finite loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATA_SAMPLERS, HOOKS, OPTIMIZERS, PARAM_SCHEDULERS
from mmpretrain.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules

from lt_det.frequency import ClassFrequency

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FOLDERS = ('imagenet_lt', 'places_lt', 'inat18', 'cifar_lt')
NAMES = sorted(
    path.relative_to(CONFIGS).as_posix()
    for pattern in (*(f'{folder}/*.py' for folder in FOLDERS), 'glyphs/crops_*.py')
    for path in CONFIGS.glob(pattern)
    if not path.name.startswith('ballad') and '_ballad_' not in path.name  # two towers, own test
)
BACKBONES: dict[str, int] = {}


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def channels(backbone: dict) -> int:
    """Channels of the last map; each kind of backbone is built once."""
    cfg = {k: v for k, v in backbone.items() if k not in ('frozen_stages', 'init_cfg')}
    key = repr(sorted(cfg.items()))
    if key not in BACKBONES:
        BACKBONES[key] = MODELS.build(cfg).feat_dim
    return BACKBONES[key]


@pytest.mark.parametrize('name', NAMES)
def test_config(name):
    cfg = Config.fromfile(CONFIGS / name)
    head = MODELS.build(cfg.model.head)
    assert head.in_channels == channels(cfg.model.backbone)
    data = cfg.train_dataloader.dataset
    assert head.num_classes == cfg.data_preprocessor.num_classes
    assert head.num_classes == data.get('num_classes', head.num_classes)
    head.set_class_frequency(ClassFrequency(range(1, head.num_classes + 1)))
    calibrates = hasattr(head, 'calibration')
    assert calibrates == (cfg.model.neck is None)
    shape = (4, head.in_channels, 2, 2) if calibrates else (4, head.in_channels)
    soft = 'augments' in cfg.model.get('train_cfg', {})
    samples = [DataSample().set_gt_label(label) for label in range(4)]
    for sample in samples if soft else ():
        sample.set_gt_score(torch.full((head.num_classes,), 1 / head.num_classes))
    for epoch in (0, cfg.train_cfg.max_epochs - 1):
        for module in head.modules():
            if hasattr(module, 'set_epoch'):
                module.set_epoch(epoch)
        losses = head.loss((torch.randn(shape),), samples)
        assert all(value.isfinite().all() for value in losses.values())
    scores = head.eval().predict((torch.randn(shape),))[0].pred_score
    assert scores.sum().item() == pytest.approx(1, rel=1e-4)

    for dataset in (data, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        assert DATASETS.get(dataset.type)
        for transform in dataset.pipeline:
            TRANSFORMS.build(transform)
    assert DATA_SAMPLERS.get(cfg.train_dataloader.sampler.type)
    assert OPTIMIZERS.get(cfg.optim_wrapper.optimizer.type)
    assert METRICS.get(cfg.val_evaluator.type)
    for scheduler in cfg.param_scheduler:
        assert PARAM_SCHEDULERS.get(scheduler.type)
        assert scheduler.get('end', 0) <= max(cfg.train_cfg.max_epochs, 50)
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
        if hook.type == 'FirstStageHook':
            assert (CONFIGS.parent / hook.config).is_file()
            assert hook.work_dir == f'work_dirs/{Path(hook.config).stem}'
            trainable = [n for n, p in head.named_parameters() if p.requires_grad]
            assert trainable and cfg.model.backbone.frozen_stages >= 3
