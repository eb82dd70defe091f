"""The image form of CAM calibration: two passes, in loops, and its gradients."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from torch.nn import functional as F

from lt_det.frequency import ClassFrequency

C, D, H, W = 4, 6, 3, 2


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def build(gamma: float = 0.7, dtype=torch.float64, **kwargs):
    head = MODELS.build(
        dict(
            type='CAMCClsHead',
            num_classes=C,
            in_channels=D,
            calibration=dict(embed_channels=5, top_k=2, label_prob=0.0),
            **kwargs,
        )
    ).to(dtype)
    head.calibration.prototypes.normal_()
    head.calibration.seen.fill_(True)
    with torch.no_grad():
        head.calibration.gamma.fill_(gamma)
    return head


def naive(head, features):
    """Calibrated features (B, D), first logits (B, C) and attention (B, h, w), one by one."""
    cam, rows, logits, maps = head.calibration, [], [], []
    for feature in features:
        first = head.fc.weight @ feature.mean((1, 2)) + head.fc.bias
        pi = first.detach().exp() / first.detach().exp().sum()
        best = sorted(range(C), key=lambda c: -pi[c])[:2]
        response = torch.zeros(H, W, dtype=features.dtype)
        for y in range(H):
            for x in range(W):
                e = cam.embed.weight[:, :, 0, 0] @ feature[:, y, x]
                e = e / e.norm()
                response[y, x] = sum(pi[c] * (e @ cam.prototypes[c]) for c in best)
        attention = (response / cam.temperature).exp()
        attention = H * W * attention / attention.sum()
        gamma = cam.gamma[0]
        rows.append((feature * (1 + gamma * attention)).mean((1, 2)) / (1 + gamma))
        logits.append(first)
        maps.append(attention)
    return torch.stack(rows), torch.stack(logits), torch.stack(maps)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_prediction_loss_and_gradients_equal_loops(dtype):
    head = build(dtype=dtype)
    features = torch.randn(3, D, H, W, dtype=dtype)
    rows, first, attention = naive(head, features)
    close = dict(rtol=1e-5, atol=1e-5)  # the largest probabilities are chosen in float32
    head.eval()
    torch.testing.assert_close(head.pre_logits((features,)), rows, **close)
    torch.testing.assert_close(head((features,)), head.fc(rows), **close)
    torch.testing.assert_close(head.attention((features,)), attention, **close)
    head.train()
    labels = torch.tensor([1, 3, 1])
    wanted = [head.fc.weight, head.fc.bias, head.calibration.embed.weight, head.calibration.gamma]
    expected = F.cross_entropy(head.fc(rows), labels) + 0.5 * F.cross_entropy(first, labels)
    theirs = torch.autograd.grad(expected, wanted)  # before the prototypes move
    losses = head.loss((features,), [DataSample().set_gt_label(y) for y in labels])
    total = losses['loss'] + losses['loss_first_pass']
    torch.testing.assert_close(total, expected, **close)
    torch.testing.assert_close(torch.autograd.grad(total, wanted), theirs, rtol=1e-4, atol=1e-4)


def test_it_starts_as_the_head_on_averaged_features_with_its_parameters():
    head = build(gamma=0.0)
    plain = MODELS.build(dict(type='LongTailClsHead', num_classes=C, in_channels=D)).double()
    plain.load_state_dict(head.state_dict(), strict=False)
    features = torch.randn(3, D, H, W, dtype=torch.float64)
    torch.testing.assert_close(head.eval()((features,)), plain((features.mean((2, 3)),)))


def test_prototypes_follow_labels_and_the_larger_share_of_mixtures_in_training_only():
    features = (torch.randn(2, D, H, W, dtype=torch.float64),)
    for samples in (
        [DataSample().set_gt_label(y) for y in (2, 0)],
        [
            DataSample().set_gt_label(y).set_gt_score(torch.tensor(s).double())
            for y, s in ((1, [0.0, 0.3, 0.7, 0.0]), (0, [0.6, 0.4, 0.0, 0.0]))
        ],
    ):
        head = build(loss=dict(type='CrossEntropyLoss', use_soft='gt_score' in samples[0]))
        before = head.calibration.prototypes.clone()
        head.eval()
        head.predict(features)
        assert torch.equal(head.calibration.prototypes, before)
        head.train()
        head.loss(features, samples)
        moved = (head.calibration.prototypes != before).any(1)
        assert moved.tolist() == [True, False, True, False]


def test_with_an_adjustment_and_a_cosine_classifier():
    head = MODELS.build(
        dict(
            type='CAMCClsHead',
            num_classes=C,
            in_channels=D,
            adjustment=dict(type='PriorShift', stage='test'),
            cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
        )
    )
    head.set_class_frequency(ClassFrequency([50, 30, 15, 5]))
    features = torch.randn(3, D, H, W)
    trained = head.train()((features,))
    prior = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    torch.testing.assert_close(head.eval()((features,)), trained - prior)
