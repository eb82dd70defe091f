"""A classifier that favours frequent classes, and held-out images."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules

from lt_det.datasets.glyphs import CROP_SIZES, make_crops
from lt_det.frequency import ClassFrequency

from .cases import ROOT


@pytest.fixture(autouse=True)
def brief_runners(monkeypatch):
    """Without what takes a runner seconds: versions of compilers, its config as a file, garbage."""
    monkeypatch.setattr(Runner, '_log_env', lambda *_: None)
    monkeypatch.setattr(Config, 'pretty_text', '')
    monkeypatch.setattr(gc, 'collect', lambda *_: 0)


@pytest.fixture(scope='module')
def held_out(tmp_path_factory) -> Path:
    """A list of 12 images of each of the classes of ``tiny_crops``, which has others."""
    recipe = CROP_SIZES['crops_tiny']
    recipe = replace(recipe, size='held', val_count=12, val_images=96, seed=77)
    folder = make_crops(tmp_path_factory.mktemp('held') / 'out', recipe, progress=False)
    lines = (folder / 'val.txt').read_text().splitlines()
    path = folder / 'held_out.txt'
    path.write_text(''.join(f'{folder}/{line}\n' for line in lines))
    return path


@pytest.fixture
def config(tiny_crops, tmp_path):
    """Configs of crops_softmax on tiny crops, with what a head has."""

    def build(**head) -> Config:
        cfg = Config.fromfile(ROOT / 'configs' / 'glyphs' / 'crops_softmax.py')
        cfg.model.head = {**cfg.model.head, 'num_classes': 8, **head}
        cfg.data_preprocessor.num_classes = 8
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            loader.update(num_workers=0, batch_size=40)
            loader.dataset.update(
                data_root=f'{tiny_crops}/', classes=str(tiny_crops / 'classes.txt')
            )
        cfg.work_dir = str(tmp_path / 'work')
        cfg.experiment_name = f'test{np.random.default_rng().integers(2**60)}'
        cfg.log_level = 'ERROR'
        return cfg

    return build


@pytest.fixture(scope='module')
def weights(tiny_crops) -> dict[str, torch.Tensor]:
    """Of a network that was drawn, not trained, and favours frequent classes."""
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(ROOT / 'configs' / 'glyphs' / 'crops_softmax.py')
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).eval()
    frequency = ClassFrequency.from_annotation_file(tiny_crops / 'train.txt')
    inputs, labels = images(tiny_crops)
    with torch.no_grad():
        features = model.backbone(model.data_preprocessor(dict(inputs=inputs))['inputs'])[-1]
    features = features.mean((2, 3)).double()
    mean, std = features.mean(0), features.std(0) + 1e-6
    design = (features - mean) / std
    target = torch.nn.functional.one_hot(labels, 8).double()
    gram = design.T @ design + 5 * torch.eye(len(mean))
    weight = (torch.linalg.solve(gram, design.T @ (target - target.mean(0))) * 8).T / std
    bias = torch.from_numpy(1.2 * np.log(frequency.image_count)) - weight @ mean
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('head')}
    return {**state, 'head.fc.weight': weight.float(), 'head.fc.bias': bias.float()}


def images(folder: Path) -> tuple[list[torch.Tensor], torch.Tensor]:
    import cv2

    lines = [line.split() for line in (folder / 'train.txt').read_text().splitlines()]
    read = [torch.from_numpy(cv2.imread(str(folder / path))).permute(2, 0, 1) for path, _ in lines]
    return read, torch.tensor([int(label) for _, label in lines])


@pytest.fixture
def checkpoint(weights, tiny_crops, tmp_path):
    """Files of the weights, with the statistics that our heads save or without."""

    def write(statistics: bool = True, counts=None) -> Path:
        state = dict(weights)
        if statistics:
            frequency = ClassFrequency.from_annotation_file(tiny_crops / 'train.txt')
            if counts is not None:
                frequency = ClassFrequency(counts)
            for name in ('image_count', 'instance_count', 'num_images'):
                state[f'head.statistics.{name}'] = torch.as_tensor(getattr(frequency, name))
        path = tmp_path / 'weights.pth'
        torch.save(dict(state_dict=state, meta={}), path)
        return path

    return write
