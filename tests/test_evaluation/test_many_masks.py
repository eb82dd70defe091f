"""An image with as many masks as LVIS counts, 300, and more."""

import numpy as np
import pytest
import torch

from lt_det.evaluation.detections import Detections
from lt_det.evaluation.ground_truth import LVISGroundTruth
from lt_det.evaluation.predictions import add_masks


@pytest.mark.parametrize('number', [0, 255, 256, 300, 700])
def test_areas_of_many_masks(number, tmp_path):
    content = dict(
        images=[dict(id=1, width=40, height=30)],
        annotations=[],
        categories=[dict(id=1, name='one', frequency='r')],
    )
    for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
        content['images'][0][key] = []
    truth = LVISGroundTruth(content)
    masks = torch.zeros(number, 30, 40, dtype=torch.bool)
    for index in range(number):
        masks[index, : index % 29 + 1, :7] = True
    detections = Detections(
        image=np.zeros(number, np.int32),
        category=np.zeros(number, np.int32),
        score=np.linspace(1, 0, number),
        boxes=np.zeros((number, 4)),
        area=np.zeros(number),
    )
    add_masks(detections, dict(masks=masks), np.arange(number), truth)
    assert detections.area.tolist() == masks.sum((1, 2)).tolist()
