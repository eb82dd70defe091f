"""Pictures of training images and their masks, as a user asks for them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from mmpretrain.utils import register_all_modules

from lt_det.report.saliency_pictures import draw_views, training_views

from .conftest import ROOT, run

CONFIG = """
_base_ = ['{base}']
root = '{data}/'
train_dataloader = dict(dataset=dict(data_root=root, classes=root + 'classes.txt'))
"""
MASK = dict(type='SaliencyMask', prob=0.0, fill=127.5)


def dataset(crops, *steps):
    register_all_modules(init_default_scope=True)
    np.random.seed(0)
    return DATASETS.build(
        dict(
            type='ListFileDataset',
            data_root=str(crops),
            ann_file='train.txt',
            classes=str(crops / 'classes.txt'),
            pipeline=[dict(type='LoadImageFromFile'), *steps, dict(type='PackInputs')],
        )
    )


@pytest.mark.parametrize('name', ['crops_smcl', 'crops_softmax'])
def test_picture(name, tiny_crops, tmp_path):
    config, out = tmp_path / 'config.py', tmp_path / 'dataset.png'
    base = ROOT / 'configs' / 'glyphs' / f'{name}.py'
    config.write_text(CONFIG.format(base=base, data=tiny_crops))
    result = run('analysis/browse_dataset.py', config, '--number', 3, '--out', out)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1].startswith('3 of ')
    picture = cv2.imread(str(out))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_views_of_a_masked_pipeline(tiny_crops):
    views = dict(type='MaskedMultiView', transforms=[[], [MASK]], num_views=[1, 2])
    first, *masked = training_views(dataset(tiny_crops, views), 5)
    assert set(first) == {'image'}
    assert len(masked) == 2
    for view in masked:
        x1, y1, x2, y2 = view['box']
        assert (view['image'] == first['image']).all()
        assert (view['masked'][y1:y2, x1:x2] == 128).all()
        assert view['saliency'].shape == (64, 64)
        height, width = first['image'].shape[:2]
        assert view['share'] == pytest.approx(1 - (x2 - x1) * (y2 - y1) / (height * width))


def test_a_mask_alone_and_what_follows_it(tiny_crops):
    flip = dict(type='RandomFlip', prob=1.0)
    (view,) = training_views(dataset(tiny_crops, MASK, flip), 5)
    x1, y1, x2, y2 = view['box']
    assert (view['masked'][:, ::-1][y1:y2, x1:x2] == 128).all()
    (plain,) = training_views(dataset(tiny_crops, flip), 5)
    assert (plain['image'][:, ::-1] == view['image']).all()


def test_constant_and_grey_images_are_drawn(tmp_path):
    image = np.full((8, 8), 9, np.uint8)
    view = dict(image=image, saliency=np.zeros((4, 4)), masked=image, box=None, share=1.0)
    draw_views([('a', [view]), ('b', [dict(image=image.astype(float))])], tmp_path / 'x.png')
    assert cv2.imread(str(tmp_path / 'x.png')) is not None


def test_bad_number(tiny_crops):
    config = ROOT / 'configs' / 'glyphs' / 'crops_smcl.py'
    result = run('analysis/browse_dataset.py', config, '--number', 0)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == 'error: --number is 0, expected 1 or more'
