"""Settings of data loaders and cuDNN that a GPU is faster with."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
DATASETS = sorted((CONFIGS / '_base_/datasets').glob('*.py'))


@pytest.mark.parametrize('path', DATASETS, ids=lambda path: path.stem)
def test_images_are_copied_from_pinned_memory(path):
    config = Config.fromfile(path)
    loaders = {key: value for key, value in config.items() if key.endswith('_dataloader')}
    assert loaders or path.stem == 'lvis_v1_files'
    assert all(loader.pin_memory for loader in loaders.values())


def test_of_any_detector_too():
    assert Config.fromfile(CONFIGS / '_base_/long_tail.py').long_tail_train.pin_memory


@pytest.mark.parametrize(
    ('name', 'fixed'),
    [
        ('cifar_lt/cifar100_resnet32_camc.py', True),
        ('glyphs/crops_iif.py', True),
        ('lvis/cascade_mask_rcnn_r50_iif.py', False),
    ],
)
def test_cudnn_looks_for_algorithms_where_images_have_one_size(name, fixed):
    assert Config.fromfile(CONFIGS / name).env_cfg.cudnn_benchmark is fixed
