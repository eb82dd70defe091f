"""The demo: what it starts from is complete, travels with the configs, and is data alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import MODELS

from lt_det.frequency import ClassFrequency

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'glyphs'


def read(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'mask_rcnn_r18_{name}.py')


@pytest.fixture(scope='module')
def weights() -> dict:
    return torch.load(read('softmax_demo').load_from, weights_only=True)


@pytest.mark.parametrize('name', ['softmax_demo', 'iif_demo'])
def test_all_but_the_classifier_is_pretrained(name, weights):
    register_all_modules(init_default_scope=True)
    model = MODELS.build(read(name).model)
    model.roi_head.bbox_head.set_class_frequency(ClassFrequency(range(5, 305, 10), num_images=600))
    missing, unexpected = model.load_state_dict(weights['state_dict'], strict=False)
    assert not unexpected
    left = {key.removeprefix('roi_head.bbox_head.') for key in missing}
    assert {key for key in left if not key.startswith('adjustment.')} == {
        'fc_cls.weight',
        'fc_cls.bias',
    }
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_weights_lie_beside_the_configs_and_are_small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = {Path(read(name).load_from) for name in ('softmax_demo', 'iif_demo')}
    (path,) = paths
    assert path.is_absolute() and path.parent.parent == CONFIGS
    assert path.stat().st_size < 5e6


def test_weights_say_where_they_come_from(weights):
    meta = weights['meta']
    assert meta['command'] == 'python benchmarks/methods/pretrain_glyphs.py'
    assert 0 < meta['segm_AP'] < 1


def test_softmax_and_iif_differ_in_the_adjustment_alone():
    softmax, iif = (read(name).to_dict() for name in ('softmax_demo', 'iif_demo'))
    assert iif['model']['roi_head']['bbox_head'].pop('adjustment')['type'] == 'IIF'
    assert softmax == iif


def test_pretraining_trains_the_same_network_from_scratch(weights):
    cfg = read('pretrain')
    assert cfg.load_from is None and cfg.model.backbone.frozen_stages == -1
    register_all_modules(init_default_scope=True)
    shapes = {key: value.shape for key, value in MODELS.build(cfg.model).state_dict().items()}
    kept = {key: shape for key, shape in shapes.items() if 'fc_cls' not in key}
    assert kept == {key: value.shape for key, value in weights['state_dict'].items()}
