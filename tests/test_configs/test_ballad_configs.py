"""Every BALLAD config: its phases build, and its pipelines give what the towers take."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import HOOKS
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS
from mmpretrain.utils import register_all_modules
from PIL import Image

from lt_det.models.open_clip import build_clip

from .test_detection_configs import RUNTIME_HOOKS

open_clip = pytest.importorskip('open_clip', reason="open_clip is the extra 'clip' of lt_det")

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(p for p in (ROOT / 'configs').glob('*/*ballad*.py') if p.parent.name != '_base_')
PAPER = [path for path in CONFIGS if path.parent.name != 'glyphs']


def phases(cfg: Config) -> dict[str, Config]:
    """The config of each phase, as PhaseRunner merges it."""
    merged = {}
    for name in cfg.run if cfg.runner_type == 'PhaseRunner' else ['train']:
        merged[name] = deepcopy(cfg)
        if name != 'train':
            merged[name].merge_from_dict(deepcopy(cfg.phases[name]))
    return merged


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: '/'.join(path.parts[-2:]))
def test_phases_build_and_images_fit(path, monkeypatch):
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    cfg = Config.fromfile(path)
    if cfg.runner_type == 'PhaseRunner':
        cfg.run = list(cfg.phases)
    native = open_clip.get_model_config(cfg.model.clip.name)['vision_cfg']['image_size']
    side = cfg.model.clip.get('vision_cfg', dict(image_size=native))['image_size']
    for name, phase in phases(cfg).items():
        model = phase.model
        # towers of a few layers, and names where the files of the data set are not there
        model.clip = dict(
            name=model.clip.name,
            embed_dim=16,
            vision_cfg=dict(image_size=side, layers=[1, 1, 1, 1], width=8, patch_size=None),
            text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1),
        )
        classes = model.head.num_classes
        if not isinstance(model.class_names, str) or '/' in model.class_names:
            model.class_names = [f'class {i}' for i in range(classes)]
        if model.get('eval_class_names'):
            model.eval_class_names = [f'class {i}' for i in range(100)]
        model.precision = 'fp32'
        model.data_preprocessor = phase.data_preprocessor
        built = MODELS.build(model)
        assert built.data_preprocessor.mean.flatten()[0].item() == pytest.approx(122.77, abs=0.01)
        assert {hook.type for hook in phase.custom_hooks} >= RUNTIME_HOOKS
        for hook in (*phase.custom_hooks, *phase.get('extra_hooks', [])):
            assert HOOKS.build(hook) is not None
        for split in ('train', 'val'):
            dataset = phase[f'{split}_dataloader'].dataset
            assert DATASETS.get(dataset.type) is not None
            sizes = [
                step for step in dataset.pipeline if step.type.startswith(('Random', 'C', 'R'))
            ]
            assert all(TRANSFORMS.get(step.type) is not None for step in dataset.pipeline)
            last = [s for s in sizes if s.type != 'RandomFlip' and s.type != 'ColorJitter'][-1]
            assert last.get('scale', last.get('crop_size')) == side, (name, split)
        if name == 'phase_a':
            assert built.eval()(torch.zeros(1, 3, side, side)).shape[0] == 1


@pytest.mark.parametrize('path', PAPER, ids=lambda path: '/'.join(path.parts[-2:]))
def test_weights_exist_and_numbers_are_the_paper_s(path, monkeypatch):
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(path)
    clip = cfg.model.clip
    assert open_clip.get_pretrained_cfg(clip.name, clip.pretrained)['quick_gelu']
    assert open_clip.get_model_config(clip.name)['quick_gelu']

    def downloaded(*args, **kwargs):
        raise RuntimeError('as far as a machine without a network comes')

    monkeypatch.setattr(open_clip.factory, 'download_pretrained', downloaded)
    with pytest.raises(FileNotFoundError, match='as far as'):
        build_clip(**clip)
    a, b = phases(cfg).values()
    for phase, rate, epochs in ((a, 1e-5, 50), (b, 0.2, 10)):
        assert phase.train_cfg.max_epochs == phase.param_scheduler[0].end == epochs
        optimizer = phase.optim_wrapper.optimizer
        assert optimizer == dict(type='SGD', lr=rate, momentum=0.9, weight_decay=5e-4)
        assert phase.train_dataloader.batch_size == 512
    assert (a.model.phase, b.model.phase, b.model.ratio, b.model.scale) == ('A', 'B', 0.2, 100)
    assert a.train_dataloader.sampler.type == 'DefaultSampler'
    assert b.train_dataloader.sampler.mode == 'class_balanced'
    crop = next(s for s in a.train_dataloader.dataset.pipeline if s.type == 'RandomResizedCrop')
    assert crop.crop_ratio_range == (0.5, 1.0) and crop.interpolation == 'bicubic'
    assert re.fullmatch(r'(RN50|RN50x16|ViT-B-16)-quickgelu', clip.name)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: '/'.join(path.parts[-2:]))
def test_images_are_those_of_open_clip_s_own_preprocessing(path, tmp_path):
    """OpenCV's bicubic does not smooth what it makes smaller; the towers saw Pillow's."""
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(path)
    train, test = (cfg[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'test'))
    resizing = [step for step in [*train, *test] if 'Resize' in step.type]
    assert {(step.interpolation, step.backend) for step in resizing} == {('bicubic', 'pillow')}
    side = resizing[-1].scale
    reference = open_clip.image_transform(side, is_train=False)
    pipeline = Compose([step for step in test if step.type != 'LoadImageFromFile'])
    to_rgb = cfg.data_preprocessor.get('to_rgb', True)
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    preprocessor = MODELS.build(
        dict(
            type='ClipDataPreprocessor',
            mean=[255 * value for value in mean],
            std=[255 * value for value in std],
            to_rgb=to_rgb,
        )
    )
    square = all(step.type != 'CenterCrop' for step in test)
    for height, width in ((700, 700), (32, 32)) if square else ((700, 933), (1001, 640), (99, 80)):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        loaded = pixels[:, :, ::-1] if to_rgb else pixels
        item = pipeline(dict(img=np.ascontiguousarray(loaded), gt_label=0))
        inputs = preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
        expected = reference(Image.fromarray(pixels))
        torch.testing.assert_close(inputs['inputs'][0], expected, atol=1e-5, rtol=0)
