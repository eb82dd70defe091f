"""Annotations of two images, and detections as MMDetection dumps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from .cases import SIDE, polygon, rle


@pytest.fixture
def annotations():
    boxes = [[5, 5, 20, 20], [30, 10, 12, 30], [8, 30, 16, 16], [20, 20, 40, 40]]
    return {
        'images': [
            {
                'id': i,
                'height': SIDE,
                'width': SIDE,
                'neg_category_ids': [7],
                'not_exhaustive_category_ids': [],
            }
            for i in (3, 9)
        ],
        'categories': [
            {'id': i, 'name': f'name{i}', 'frequency': f} for i, f in ((4, 'r'), (7, 'c'), (8, 'f'))
        ],
        'annotations': [
            {
                'id': i + 1,
                'image_id': (3, 9)[i % 2],
                'category_id': (4, 8)[i // 2],
                'bbox': box,
                'area': box[2] * box[3],
                'segmentation': [polygon(box)],
            }
            for i, box in enumerate(boxes)
        ],
    }


@pytest.fixture
def samples(annotations):
    """What tools/test.py --out of MMDetection dumps."""
    rng = np.random.default_rng(0)
    samples = []
    for image in annotations['images']:
        same = [a for a in annotations['annotations'] if a['image_id'] == image['id']]
        boxes = [(np.array(a['bbox']) + rng.integers(0, 4, 4)).tolist() for a in same * 3]
        corners = torch.tensor(boxes, dtype=torch.float32)
        corners[:, 2:] += corners[:, :2]
        samples.append(
            {
                'img_id': image['id'],
                'ori_shape': (SIDE, SIDE),
                'pred_instances': {
                    'bboxes': corners,
                    'scores': torch.from_numpy(rng.random(len(boxes), dtype=np.float32)),
                    'labels': torch.from_numpy(rng.integers(0, 3, len(boxes))),
                    'masks': [rle(box) for box in boxes],
                },
            }
        )
    return samples


@pytest.fixture
def ann_file(ann_file: str) -> Path:
    return Path(ann_file)
