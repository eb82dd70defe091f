"""Classifiers through the command line: train, evaluate, post-process, second stage, bad input."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import cv2
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmpretrain.registry import MODELS as CLASSIFIERS
from mmpretrain.utils import register_all_modules as register_all_mmpretrain_modules

from lt_det.frequency import ClassFrequency
from lt_det.report.page.data import collect

from .conftest import ROOT, losses, run, run_new

CONFIG = """
_base_ = ['{base}']
root = '{data}/'
model = dict(head=dict(num_classes=8))
data_preprocessor = dict(num_classes=8)
train_dataloader = dict(
    num_workers=0, dataset=dict(data_root=root, classes=root + 'classes.txt')
)
val_dataloader = dict(num_workers=0, dataset=dict(data_root=root, classes=root + 'classes.txt'))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs={epochs}, val_interval={epochs})
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5)]
default_hooks = dict(logger=dict(interval=1))
"""
KEYS = ['top1', 'top5', 'macro', 'many', 'medium', 'few', 'ece']
KEYS += ['ece_many', 'ece_medium', 'ece_few']


def write_config(folder: Path, data: Path, name: str, epochs: int = 2, more: str = '') -> Path:
    path = folder / f'{name}.py'
    base = ROOT / 'configs' / 'glyphs' / f'crops_{name}.py'
    path.write_text(CONFIG.format(base=base, data=data, epochs=epochs) + more)
    return path


@pytest.fixture(scope='module')
def trained(tiny_crops, tmp_path_factory) -> Path:
    """The work dir of two epochs of crops_softmax, its config beside."""
    folder = tmp_path_factory.mktemp('classifier')
    config = write_config(folder, tiny_crops, 'softmax')
    result = run_new('train.py', config, '--work-dir', folder / 'softmax')
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (folder / 'softmax' / 'stdout.txt').write_text(result.stdout + result.stderr)
    return folder


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / 'metrics.json').read_text())


def test_training_ends_with_the_table_its_json_rows_and_plots(trained):
    work_dir = trained / 'softmax'
    values = metrics(work_dir)
    assert all(-1 <= values[key] <= 1 for key in KEYS)
    output = (work_dir / 'stdout.txt').read_text()
    header = next(line for line in output.splitlines() if line.split()[:2] == ['all', 'many'])
    row = output[output.index(header) :].splitlines()[1].split()
    assert row[:2] == ['accuracy', f'{values["top1"]:.3f}']
    with (work_dir / 'per_class.csv').open() as file:
        assert len(list(csv.DictReader(file))) == 8
    for name in ('accuracy_by_frequency.png', 'reliability.png'):
        assert cv2.imread(str(work_dir / name)).std() > 5
    crops = collect(work_dir)['gallery']
    assert crops and all(crop['veil'] for crop in crops)  # a class activation map
    curve = losses(work_dir)
    steps = sorted(curve)
    assert sum(curve[s] for s in steps[-3:]) < 0.9 * sum(curve[s] for s in steps[:3])


def test_post_processing_needs_no_training_list(trained, tiny_crops, tmp_path):
    for name in ('classes.txt', 'val.txt', 'val'):
        (tmp_path / name).symlink_to(tiny_crops / name)
    config = write_config(tmp_path, tmp_path, 'iif_post')
    checkpoint = trained / 'softmax' / 'epoch_2.pth'
    options = ['--out', tmp_path / 'p.pkl', '--show-dir', 'shown']
    result = run('test.py', config, checkpoint, '--work-dir', tmp_path / 'work', *options)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert metrics(tmp_path / 'work' / 'test')['top1'] >= 0
    predictions = pickle.loads((tmp_path / 'p.pkl').read_bytes())
    assert len(predictions) == 32 and predictions[0]['pred_score'].shape == (8,)
    assert len(list((tmp_path / 'work' / 'shown').glob('*.png'))) == 32
    result = run('test.py', config, checkpoint, '--work-dir', tmp_path / 'tta', '--tta')
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert 0 <= metrics(tmp_path / 'tta' / 'test')['top1'] <= 1


def test_second_stage_trains_the_classifier_alone(trained, tiny_crops):
    config = write_config(trained, tiny_crops, 'iif_decoupled', 1)
    work_dir = trained / 'iif_decoupled'
    first = f'custom_hooks.4.work_dir={trained / "softmax"}'
    result = run('train.py', config, '--work-dir', work_dir, '--cfg-options', first)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    before, after = (
        torch.load(path, map_location='cpu', weights_only=False)['state_dict']
        for path in (trained / 'softmax' / 'epoch_2.pth', work_dir / 'epoch_1.pth')
    )
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {'head.fc.weight', 'head.fc.bias'}


def test_what_is_missing_is_named(tiny_crops, tmp_path):
    config = write_config(tmp_path, tiny_crops, 'crt', 1)
    result = run('train.py', config, '--work-dir', tmp_path / 'work')
    assert result.returncode == 2
    message = result.stderr.splitlines()[-1]
    assert message.startswith('error: this is the second stage of a recipe')
    assert 'work_dirs/crops_softmax, has no checkpoint' in message
    assert 'lt_det train configs/glyphs/crops_softmax.py' in message

    lines = (tiny_crops / 'train.txt').read_text().splitlines()
    (tmp_path / 'a.txt').write_text('\n'.join(line for line in lines if line[-1] != '3'))
    option = f'train_dataloader.dataset.ann_file={tmp_path / "a.txt"}'
    config = write_config(tmp_path, tiny_crops, 'softmax', 1)
    result = run('train.py', config, '--work-dir', tmp_path / 'w', '--cfg-options', option)
    assert result.returncode == 2, result.stderr[-2000:]
    expected = f'error: 1 of 8 classes have no training image in {tmp_path / "a.txt"}: '
    assert result.stderr.splitlines()[-1].startswith(expected)
    assert 'Traceback' not in result.stderr


RESNET = """
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=50),
    head=dict(num_classes=8, in_channels=2048),
)
train_dataloader['dataset']['indices'] = 32
"""


def test_a_trained_backbone_initialises_mask_rcnn(tiny_crops, tmp_path):
    config = write_config(tmp_path, tiny_crops, 'softmax', 1, RESNET)
    empty = 'custom_hooks.0.empty_classes=warn'
    work_dir = tmp_path / 'work'
    result = run('train.py', config, '--work-dir', work_dir, '--cfg-options', empty)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    checkpoint = str(work_dir / 'epoch_1.pth')
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(ROOT / 'configs' / 'lvis' / 'mask_rcnn_r50_iif.py').model
    cfg.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    cfg.roi_head.bbox_head.num_classes = cfg.roi_head.mask_head.num_classes = 8
    detector = MODELS.build(cfg)
    detector.init_weights()
    state = torch.load(checkpoint, map_location='cpu', weights_only=False)['state_dict']
    trained = {k[9:]: v for k, v in state.items() if k.startswith('backbone.')}
    assert detector.backbone.state_dict().keys() == trained.keys()
    for key, value in detector.backbone.state_dict().items():
        assert torch.equal(value, trained[key]), key


def test_attention_picture(tiny_crops, tmp_path):
    config = write_config(tmp_path, tiny_crops, 'camc', 1)
    model = build_model(config)
    model.head.set_class_frequency(ClassFrequency([3] * 8))
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'camc.pth')
    out = tmp_path / 'attention.png'
    arguments = [config, tmp_path / 'camc.pth', '--out', out, '--images', 3]
    result = run('analysis/show_attention.py', *arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    assert cv2.imread(str(out)).std() > 5


def build_model(config: Path):
    register_all_mmpretrain_modules(init_default_scope=True)
    cfg = Config.fromfile(config)
    torch.manual_seed(0)
    return CLASSIFIERS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
