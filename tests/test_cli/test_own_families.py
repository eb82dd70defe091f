"""Own data with the detectors of MMDetection: written, built, trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.runner import Runner

from lt_det.cli.loader_options import fit_loader_options
from lt_det.cli.main import main
from lt_det.cli.own_models import MODELS as OWN_MODELS
from lt_det.engine.model_checks import check_num_classes

from .own_data import make

SIDE = 64
SIZES = ('scale', 'img_scale', 'crop_size', 'size')
# a ResNet of an eighth of the width
SMALL = {
    'retinanet_r50': dict(
        backbone=dict(depth=18, base_channels=8, stem_channels=8),
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=32),
        bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1),
    ),
    'rtmdet_ins_s': dict(
        backbone=dict(deepen_factor=0.17, widen_factor=0.125),
        neck=dict(in_channels=[32, 64, 128], out_channels=32),
        bbox_head=dict(in_channels=32, feat_channels=32),
    ),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('own')
    make(folder, [8, 6, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1], [1] * 12)
    return folder


@pytest.fixture(autouse=True)
def one_thread(data, monkeypatch) -> Iterator[None]:
    monkeypatch.chdir(data)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def init(model: str, method: str, *options: str) -> Config:
    out = f'{model}_{method}.py'
    arguments = ('train.json', 'val.json', '--images', 'images', '--weights', 'none')
    names = ('--model', model, '--method', method, '--out', out)
    assert main(['init', *arguments, *names, '--gpus', '0', *options]) == 0
    register_all_modules(init_default_scope=True)
    return Config.fromfile(out)


def shrink(part: Any) -> None:
    """Images of a few pixels, loaded by the process itself."""
    for item in part.values() if isinstance(part, dict) else part:
        if isinstance(item, dict | list):
            shrink(item)
    if isinstance(part, dict):
        for key in SIZES:
            if isinstance(part.get(key), tuple):
                part[key] = (SIDE, SIDE)
        if 'scales' in part:
            part.scales = [(SIDE, SIDE)]
        if 'num_workers' in part:
            part.num_workers = 0


@pytest.mark.parametrize(
    ('model', 'method'), [('retinanet_r50', 'efl'), ('rtmdet_ins_s', 'prior_shift_rfs')]
)
def test_it_trains(model, method):
    cfg = init(model, method, '--epochs', '2', '--batch-size', '16')
    cfg.merge_from_dict(dict(model=SMALL[model]))
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'custom_hooks'):
        shrink(cfg[key])
    fit_loader_options(cfg)
    cfg.work_dir = f'work_dirs/{model}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == runner.max_iters >= 4
    loss = runner.message_hub.get_scalar('train/loss').data[0]
    assert torch.isfinite(torch.tensor(loss)).all()
    assert 0 <= runner.message_hub.get_scalar('val/coco/bbox_AP').current() <= 1
    assert runner.model.statistics.image_count.sum() > 12
    checkpoint = torch.load(f'{cfg.work_dir}/epoch_2.pth', weights_only=False)
    assert {'statistics.image_count'} <= checkpoint['state_dict'].keys()
    if model == 'rtmdet_ins_s':  # mosaic is over, below the repeats too
        steps = runner.train_dataloader.dataset.dataset.pipeline.transforms
        assert 'CachedMosaic' not in [type(step).__name__ for step in steps]


@pytest.mark.parametrize('model', [name for name, own in OWN_MODELS.items() if own.lr != 0.02])
def test_it_builds(model):
    method = list(OWN_MODELS[model].methods)[-1]
    cfg = init(model, method)
    with torch.device('meta'):
        detector = MODELS.build(cfg.model)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    check_num_classes(detector, dataset.class_frequency)
    instances = dataset[0]['data_samples'].gt_instances
    assert ('masks' in instances) == OWN_MODELS[model].masks
