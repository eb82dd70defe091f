from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules

from lt_det.errors import BadInputError
from lt_det.report.features import draw_features, features_of, tsne


def test_features_are_those_before_the_classifier():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='CIFARResNet', depth=20),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='CrossModalHead', num_classes=3, in_channels=64, num_words=4),
        )
    ).eval()
    images = torch.randint(0, 255, (6, 3, 32, 32), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 1, 0, 2)]
    batches = [
        dict(inputs=list(images[i : i + 2]), data_samples=samples[i : i + 2]) for i in (0, 2, 4)
    ]
    features, labels = features_of(model, batches, [0, 1])
    assert labels.tolist() == [0, 1, 1, 0]
    chosen = images[[0, 1, 3, 4]].float()
    expected = model.head.pre_logits(model.extract_feat(chosen)).detach().numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInputError, match=r'no image is of the classes \[7\]'):
        features_of(model, batches, [7])


def test_picture_of_features(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([2, 5], 20)
    panels = {name: (rng.normal(size=(40, 2)), labels) for name in ('before', 'after')}
    draw_features(panels, [f'class {i}' for i in range(6)], tmp_path / 'x.png')
    picture = cv2.imread(str(tmp_path / 'x.png'))
    assert picture.shape[1] > 1.5 * picture.shape[0] and picture.std() > 5


def test_tsne_keeps_neighbours_together():
    pytest.importorskip('sklearn', reason="t-SNE is in the extra 'report'")
    rng = np.random.default_rng(0)
    centres = np.eye(8)[:3] * 10
    labels = np.repeat(np.arange(3), 20)
    points = tsne(centres[labels] + rng.normal(size=(60, 8)))
    assert points.shape == (60, 2)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (labels[distance.argmin(1)] == labels).mean() > 0.95
    with pytest.raises(BadInputError, match='at least 4 images, there are 3'):
        tsne(np.ones((3, 8)))
