"""The LVIS configs over MMDetection's own: their data, pipelines and numbers of classes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.hub import get_config

from lt_det.datasets import RepeatFactorDataset
from lt_det.engine.model_checks import check_num_classes
from lt_det.frequency import ClassFrequency

from .test_detection_configs import ROOT, load
from .test_lvis_config import write_lvis

FAMILIES = {
    'retinanet_r50': 'retinanet/retinanet_r50_fpn_1x_coco',
    'atss_r50': 'atss/atss_r50_fpn_1x_coco',
    'rtmdet_ins_s': 'rtmdet/rtmdet-ins_s_8xb32-300e_coco',
    'deformable_detr_r50': 'deformable_detr/deformable-detr_r50_16xb2-50e_coco',
    'dino_r50': 'dino/dino-4scale_r50_8xb2-12e_coco',
    'mask2former_r50': 'mask2former/mask2former_r50_8xb2-lsj-50e_coco',
    'sparse_rcnn_r50': 'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco',
}
MASKS = ('rtmdet_ins_s', 'mask2former_r50')


def baseline(family: str) -> str:
    return f'{family}_{"softmax" if family.startswith("mask2former") else "sigmoid"}'


@cache
def stock_config(family: str) -> Config:
    return get_config(f'mmdet::{FAMILIES[family]}.py')


def without_scopes(part: Any) -> Any:
    """Without the package that a dict of a ``mmdet::`` base is from."""
    if isinstance(part, dict):
        return type(part)({k: without_scopes(v) for k, v in part.items() if k != '_scope_'})
    return [without_scopes(item) for item in part] if isinstance(part, list) else part


@pytest.fixture(scope='module')
def lvis(tmp_path_factory) -> Path:
    """Four images, all 1203 classes."""
    root = tmp_path_factory.mktemp('lvis') / 'data' / 'lvis'
    write_lvis(root)
    return root


@pytest.mark.parametrize('family', FAMILIES)
def test_images_come_through_the_pipeline_of_mmdetection(family, lvis, monkeypatch):
    monkeypatch.chdir(lvis.parents[1])
    cfg = load(f'lvis/{baseline(family)}.py')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    expected = [step['type'] for step in stock_config(family).train_pipeline]
    assert [type(step).__name__ for step in dataset.pipeline.transforms] == expected
    # mosaic starts with the fifth
    for index in (0, 1, 2, 3, 0, 1) if family == 'rtmdet_ins_s' else (0,):
        instances = dataset[index]['data_samples'].gt_instances
        assert len(instances) > 0
        assert ('masks' in instances) == (family in MASKS)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    frequency = ClassFrequency.from_dataset(dataset)
    assert frequency.num_classes == 1203
    check_num_classes(model, frequency)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert val[0]['inputs'].shape[0] == 3
    assert val.ann_file == cfg.val_evaluator.ann_file


@pytest.mark.parametrize('family', FAMILIES)
def test_all_but_data_and_classes_is_that_of_mmdetection(family):
    ours = without_scopes(Config.fromfile(ROOT / f'configs/lvis/{baseline(family)}.py')._cfg_dict)
    stock = stock_config(family)
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks', 'train_pipeline'):
        assert ours[key] == stock[key], key
    assert ours.train_dataloader.batch_size == stock.train_dataloader.batch_size
    assert (ours.model.type, ours.model.detector) == ('LongTail', stock.model.type)
    assert ours.model.backbone == stock.model.backbone
    kept = stock.get('custom_hooks', [])
    assert ours.custom_hooks[: len(kept)] == kept


@pytest.mark.parametrize('family', FAMILIES)
def test_images_of_rare_classes_are_repeated(family, lvis, monkeypatch):
    monkeypatch.chdir(lvis.parents[1])
    cfg = load(f'lvis/{baseline(family)}_rfs.py')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert isinstance(dataset, RepeatFactorDataset)
    assert (len(dataset), dataset.oversample_thr) == (4, 1e-3)  # each class in a quarter of them


@pytest.mark.parametrize('family', FAMILIES)
def test_each_family_has_a_rule(family):
    names = {path.stem for path in (ROOT / 'configs/lvis').glob(f'{family}_*.py')}
    rules = names - {baseline(family), f'{baseline(family)}_rfs'}
    assert rules
    for name in rules:
        model = Config.fromfile(ROOT / f'configs/lvis/{name}.py').model
        assert 'adjustment' in model or 'loss_cls' in json.dumps(model)
