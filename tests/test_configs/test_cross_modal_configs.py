"""Configs with words: they fit together, and one trains, tests and exports on tiny glyph crops."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules

from lt_det.datasets.glyphs import CROP_SIZES, make_crops
from lt_det.datasets.glyphs.words import vocabulary
from lt_det.frequency import ClassFrequency

from ..tool_process import ROOT, run

NAMES = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for pattern in ('nus_wide/*.py', 'vireofood172/*.py', 'glyphs/words_*.py')
    for path in (ROOT / 'configs').glob(pattern)
)


@pytest.mark.parametrize('name', NAMES)
def test_config(name):
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / 'configs' / name)
    head = MODELS.build(cfg.model.head)
    assert head.num_classes == cfg.data_preprocessor.num_classes
    assert head.in_channels == (128 if name.startswith('glyphs') else 2048)
    head.set_class_frequency(ClassFrequency(range(1, head.num_classes + 1)))
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    has_words = 'cmltnet' in name
    assert any(e.type == 'WordRetrieval' for e in evaluators) == has_words
    assert any(hook.type == 'WordsHook' for hook in cfg.custom_hooks) == has_words
    if has_words:
        if head.words.source == 'learned':
            words = [str(i) for i in range(head.num_words)]
            head.set_words(words, np.ones(head.num_words), 9)
        else:  # from files that are not here
            head.positive_weight = torch.ones(head.num_words)
        samples[0].set_field(np.array([0, head.num_words - 1]), 'words')
    losses = head.loss((torch.randn(3, head.in_channels),), samples)
    assert all(value.isfinite() for value in losses.values())
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type == 'CrossModalDataset'
        assert loader.dataset.word_file.replace('_words', '') == loader.dataset.ann_file
        for transform in loader.dataset.pipeline:
            TRANSFORMS.build(transform)
        assert loader.dataset.pipeline[-1].algorithm_keys == ('words',)


def test_glyph_config_has_the_words_of_its_data():
    cfg = Config.fromfile(ROOT / 'configs/glyphs/words_cmltnet.py')
    recipe = CROP_SIZES['crops_words']
    assert cfg.model.head.num_words == len(vocabulary(recipe.glyphs))
    assert cfg.model.head.num_classes == len(recipe.glyphs)
    assert cfg.train_pipeline[1].crop_size == recipe.side


def test_train_test_and_export(tmp_path):
    data = make_crops(tmp_path / 'crops', 'crops_words_tiny', progress=False)
    base = ROOT / 'configs/glyphs/words_cmltnet.py'
    words = len((data / 'words.txt').read_text().splitlines())
    common = (
        f"dict(data_root='{data}/', classes='{data}/classes.txt', vocabulary='{data}/words.txt')"
    )
    config = tmp_path / 'tiny.py'
    config.write_text(
        f"_base_ = ['{base}']\n"
        f'model = dict(head=dict(num_classes=9, num_words={words}))\n'
        f'data_preprocessor = dict(num_classes=9)\n'
        f'train_dataloader = dict(num_workers=0, dataset={common})\n'
        f'val_dataloader = dict(num_workers=0, dataset={common})\n'
        'test_dataloader = val_dataloader\n'
        'train_cfg = dict(max_epochs=1, val_interval=1)\n'
    )
    work_dir = tmp_path / 'work'
    result = run('tools/train.py', config, '--work-dir', work_dir)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert f'100 of 100 images have words, of {words} in the vocabulary' in (
        result.stdout + result.stderr
    )
    trained = json.loads((work_dir / 'metrics.json').read_text())
    checkpoint = work_dir / 'epoch_1.pth'
    result = run('tools/export_cross_modal.py', config, checkpoint, tmp_path / 'image')
    assert result.returncode == 0, result.stderr[-3000:]
    before, after = (
        torch.load(p, weights_only=False) for p in (checkpoint, tmp_path / 'image.pth')
    )
    gone = before['state_dict'].keys() - after['state_dict'].keys()
    assert {key.split('.')[1] for key in gone} == {'text_encoder'}
    assert Config.fromfile(tmp_path / 'image.py').model.head.deploy
    # images alone: no word file, and none of the training files
    for name in ('train.txt', 'train_words.txt', 'val_words.txt'):
        (data / name).unlink()
    config.write_text(
        f"_base_ = ['{tmp_path / 'image.py'}']\n"
        'test_dataloader = dict(dataset=dict(word_file=None))\n'
        "test_evaluator = dict(_delete_=True, type='LongTailAccuracy')\n"
    )
    result = run('tools/test.py', config, tmp_path / 'image.pth', '--work-dir', work_dir)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    tested = json.loads((work_dir / 'test/metrics.json').read_text())
    assert 'top1' in tested and tested.items() <= trained.items()
