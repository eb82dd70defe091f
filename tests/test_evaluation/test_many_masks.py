"""An image with as many masks as LVIS counts, 300, and more."""

import numpy as np
import pytest
import torch

from lt_det.evaluation.detections import Detections
from lt_det.evaluation.predictions import encode_masks


@pytest.mark.parametrize('number', [0, 255, 256, 300, 700])
def test_areas_of_many_masks(number):
    masks = torch.zeros(number, 30, 40, dtype=torch.bool)
    for index in range(number):
        masks[index, : index % 29 + 1, :7] = True
    ids = np.zeros(number, np.int64)
    codes = encode_masks(masks, np.arange(number))
    detections = Detections(ids, ids, np.linspace(1, 0, number), segmentations=codes)
    assert detections.areas().tolist() == masks.sum((1, 2)).tolist()
