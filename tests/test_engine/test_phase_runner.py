"""Phases A and B from one config: order, cache, resume, baselines, test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS

from lt_det.compat.checkpoint import restrict_checkpoint_loading
from lt_det.engine import report_hook
from lt_det.errors import BadInputError, MissingFileError

pytest.importorskip('open_clip', reason="open_clip is the extra 'clip' of lt_det")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, scope='module')
def no_pictures():
    """They are those of every classifier, and take longer than these trainings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ('plot_accuracy_by_frequency', 'plot_reliability', 'send_pictures'):
            patch.setattr(report_hook, name, lambda *args: None)
        yield


SMALL = dict(
    name='RN50',
    pretrained=None,
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=[1, 1, 1, 1], width=8, patch_size=None),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1),
)


def tiny(crops: Path, work_dir: Path, **options) -> Config:
    cfg = Config.fromfile(ROOT / 'configs/glyphs/ballad_r14.py')
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.dataset.update(data_root=str(crops), classes=str(crops / 'classes.txt'))
        loader.dataset.pipeline = [s for s in loader.dataset.pipeline if s.type != 'Resize']
        loader.update(num_workers=0, batch_size=32)
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'launcher': 'none',
            'model.clip': dict(_delete_=True, **SMALL),
            'model.head.num_classes': 8,
            'model.class_names': str(crops / 'classes.txt'),
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 2,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.max_keep_ckpts': -1,
            'phases.phase_b.train_cfg.max_epochs': 3,
            'phases.phase_b.train_cfg.val_interval': 3,
            'phases.phase_b.extra_hooks': [dict(type='FeatureCacheHook', views=2)],
            'phases.linear_probe.train_cfg.max_epochs': 2,
            'phases.linear_probe.train_cfg.val_interval': 2,
            'randomness.seed': 0,
            **options,
        }
    )
    return cfg


def run(cfg: Config):
    restrict_checkpoint_loading()
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner


def losses(work_dir: Path) -> list[float]:
    log = max(work_dir.glob('*/vis_data/scalars.json'))
    rows = map(json.loads, log.read_text().splitlines())
    return [row['loss'] for row in rows if 'loss' in row]


def weights(path: Path) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


@pytest.fixture(scope='module')
def trained(tiny_crops, tmp_path_factory) -> Path:
    """The work dir of phases A and B, uninterrupted: do not write into it."""
    work_dir = tmp_path_factory.mktemp('ballad')
    run(tiny(tiny_crops, work_dir))
    return work_dir


def test_phase_b_starts_from_phase_a_and_trains_the_adapter(trained, tiny_crops):
    a = weights(trained / 'phase_a/epoch_2.pth')
    b = weights(trained / 'phase_b/epoch_3.pth')
    changed = {name for name in a if not torch.equal(a[name], b[name])}
    assert changed == {'adapter.weight'}
    assert torch.equal(a['adapter.weight'], torch.eye(16))
    towers = torch.load(trained / 'phase_a/clip.pt')['state_dict']
    assert all(torch.equal(towers[name], a[f'clip.{name}']) for name in towers)
    cache = np.load(trained / 'phase_b/features/train/features.npy', mmap_mode='r')
    count = len((tiny_crops / 'train.txt').read_text().splitlines())
    assert cache.shape == (2, count, 16) and cache.dtype == np.float32
    assert not np.array_equal(cache[0], cache[1])


def test_cached_and_uncached_training_give_the_same_losses(trained, tiny_crops, tmp_path):
    options = {
        'run': ['phase_b'],
        'load_from': str(trained / 'phase_a/epoch_2.pth'),
        'phases.phase_b.extra_hooks': [dict(type='FeatureCacheHook', views=2, cached=False)],
    }
    run(tiny(tiny_crops, tmp_path, **options))
    assert not (tmp_path / 'phase_b/features').exists()
    cached, uncached = losses(trained / 'phase_b'), losses(tmp_path / 'phase_b')
    assert len(cached) > 20
    np.testing.assert_allclose(cached, uncached, rtol=1e-4)


@pytest.mark.parametrize('phase', ['phase_a', 'phase_b'])
def test_resume_in_either_phase_repeats_the_uninterrupted_run(phase, trained, tiny_crops, tmp_path):
    first = tiny(tiny_crops, tmp_path)
    if phase == 'phase_a':
        first.merge_from_dict({'run': ['phase_a']})
    first.phases[phase].setdefault('train_cfg', {})
    # an interruption after the first epoch; the schedule is that of the whole training
    first.merge_from_dict({f'phases.{phase}.train_cfg.max_epochs': 1})
    run(first)
    run(tiny(tiny_crops, tmp_path, resume=True))
    for path in ('phase_a/epoch_2.pth', 'phase_b/epoch_3.pth'):
        expected, found = weights(trained / path), weights(tmp_path / path)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0, msg=name)


def test_baselines_and_test_from_the_same_config(trained, tiny_crops, tmp_path, caplog):
    towers = {'model.clip.pretrained': str(trained / 'phase_a/clip.pt')}
    run(tiny(tiny_crops, tmp_path, run=['zero_shot', 'linear_probe'], **towers))
    assert not list((tmp_path / 'zero_shot').glob('*.pth'))
    assert 0 <= json.loads((tmp_path / 'zero_shot/metrics.json').read_text())['few'] <= 1
    probe = weights(tmp_path / 'linear_probe/epoch_2.pth')
    assert probe['head.fc.weight'].shape == (8, 16)
    a = weights(trained / 'phase_a/epoch_2.pth')
    assert torch.equal(probe['clip.visual.conv1.weight'], a['clip.visual.conv1.weight'])

    cfg = tiny(tiny_crops, tmp_path, load_from=str(trained / 'phase_b/epoch_3.pth'))
    runner = RUNNERS.build(cfg)
    assert len(runner.test_evaluator.metrics) == 1
    metrics = runner.test()
    cached = json.loads((trained / 'phase_b/metrics.json').read_text())
    assert metrics['accuracy/top1'] == pytest.approx(cached['top1'])


def test_phase_b_without_phase_a_and_unknown_phases(tiny_crops, tmp_path):
    with pytest.raises(MissingFileError, match=r'phase_a, has no checkpoint; .*"run=\[phase_a\]"'):
        run(tiny(tiny_crops, tmp_path, run=['phase_b']))
    with pytest.raises(BadInputError, match=r"phase 'phase_c' does not exist; there are phase_a,"):
        run(tiny(tiny_crops, tmp_path, run=['phase_c']))
    with pytest.raises(BadInputError, match=r'expected a checkpoint in the work dir of a phase'):
        run(tiny(tiny_crops, tmp_path, resume=True, load_from='other/epoch_1.pth'))
    with pytest.raises(BadInputError, match='FeatureCacheHook: the image tower .* is trained'):
        hook = [dict(type='FeatureCacheHook')]
        run(tiny(tiny_crops, tmp_path, **{'run': ['phase_a'], 'phases.phase_a.extra_hooks': hook}))


def test_a_cache_of_other_weights_or_data_is_refused(trained, tiny_crops, tmp_path):
    folder = tmp_path / 'features'
    hook = dict(type='FeatureCacheHook', views=1, folder=str(folder))
    options = {
        'run': ['phase_b'],
        'load_from': str(trained / 'phase_a/epoch_2.pth'),
        'phases.phase_b.train_cfg.max_epochs': 1,
        'phases.phase_b.extra_hooks': [hook],
    }
    run(tiny(tiny_crops, tmp_path, **options))
    before = (folder / 'train/features.npy').stat().st_mtime_ns
    run(tiny(tiny_crops, tmp_path, **options))
    assert (folder / 'train/features.npy').stat().st_mtime_ns == before
    other = {**options, 'load_from': str(trained / 'phase_a/epoch_1.pth')}
    with pytest.raises(BadInputError, match=r'features/train holds features of other weights'):
        run(tiny(tiny_crops, tmp_path, **other))
    other = {**options, 'phases.phase_b.extra_hooks': [dict(hook, views=2)]}
    with pytest.raises(BadInputError, match=r'features/train holds features of other data'):
        run(tiny(tiny_crops, tmp_path, **other))
    other['phases.phase_b.extra_hooks'] = [dict(hook, views=2, replace=True, dtype='float16')]
    run(tiny(tiny_crops, tmp_path, **other))
    assert np.load(folder / 'train/features.npy').dtype == np.float16
    assert sorted(path.name for path in folder.iterdir()) == ['train', 'val']
