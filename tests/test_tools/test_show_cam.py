"""The CAM picture, from a config, a checkpoint and an image, as a user asks for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import init_detector
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency
from lt_det.report.cams import attention_of_detections

from .conftest import run

CALIBRATED = """
_base_ = ['{base}']
model = dict(
    roi_head=dict(type='CAMCalibratedRoIHead', calibration=dict(embed_channels=16)),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
"""


@pytest.fixture
def saved(config, tmp_path):
    """Config and checkpoint of a calibrated detector with random weights and prototypes."""
    register_all_modules(init_default_scope=True)
    path = tmp_path / 'camc.py'
    path.write_text(CALIBRATED.format(base=config))
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(path).model)
    model.init_weights()
    model.roi_head.bbox_head.set_class_frequency(ClassFrequency(range(4, 12)))
    model.roi_head.calibration.prototypes.normal_()
    classes = tuple('abcdefgh')
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'camc.pth')
    return path, tmp_path / 'camc.pth'


def test_picture(saved, tiny_glyphs, tmp_path):
    image = next((tiny_glyphs / 'val').glob('*.png'))
    out = tmp_path / 'cam.png'
    options = ('--score-thr', 0.0, '--most', 5, '--out', out)
    result = run('analysis/show_cam.py', *saved, image, *options)
    assert result.returncode == 0, result.stderr[-3000:]
    assert '5 detections' in result.stdout
    picture = cv2.imread(str(out))
    assert picture is not None
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_attention_is_that_of_the_box_in_the_image(saved, tiny_glyphs):
    image = next((tiny_glyphs / 'val').glob('*.png'))
    model = init_detector(*map(str, saved), device='cpu')
    found, attention = attention_of_detections(model, image, score_thr=0.0, most=3)
    assert len(found) == len(attention) == 3
    assert (found.scores.diff() <= 0).all()
    torch.testing.assert_close(attention.mean((1, 2)), torch.ones(3))
    assert attention.std() > 0.01
    with pytest.raises(MissingFileError, match=r'image gone\.png does not exist'):
        attention_of_detections(model, 'gone.png')
    del model.roi_head.calibration
    with pytest.raises(BadInputError, match="expected 'CAMCalibratedRoIHead'"):
        attention_of_detections(model, image)
