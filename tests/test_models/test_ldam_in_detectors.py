"""LDAM as the class loss of box heads, recomputed RoI by RoI."""

from __future__ import annotations

import mmdet.models.losses
import mmpretrain.registry
import pytest
import torch
from mmdet.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.losses import LDAMLoss

from .loss_cases import LABELS, C, assert_same, box_head, logits, predicted

COUNTS = [900, 100, 9, 1]
DTYPES = pytest.mark.parametrize('dtype', [torch.float32, torch.float64])


pytestmark = pytest.mark.usefixtures('mmdet_scope')


def build(**kwargs) -> LDAMLoss:
    loss = MODELS.build(dict(type='LDAMLoss', **kwargs))
    loss.set_class_frequency(ClassFrequency(COUNTS))
    return loss


def naive(z: Tensor, weights: Tensor | None = None, scale: float = 20.0) -> Tensor:
    """Sum of the weighted cross-entropies behind the margins; the background has none."""
    margin = [0.5 * (n / min(COUNTS)) ** -0.25 for n in COUNTS] + [0.0]
    total = 0
    for i, label in enumerate(LABELS.tolist()):
        row = [value - (scale * margin[label] if c == label else 0) for c, value in enumerate(z[i])]
        entropy = torch.stack(row).exp().sum().log() - row[label]
        total = total + (1 if weights is None else weights[i]) * entropy
    return total


def test_it_is_registered_for_both_and_around_the_cross_entropy_of_the_scope():
    assert MODELS.get('LDAMLoss') is mmpretrain.registry.MODELS.get('LDAMLoss') is LDAMLoss
    assert isinstance(build().loss, mmdet.models.losses.CrossEntropyLoss)


@DTYPES
def test_background_has_no_margin(dtype):
    loss = build(scale=20.0)
    x = (3 * logits(C + 1, dtype)).detach().requires_grad_()
    weights = torch.rand(len(LABELS), dtype=dtype)
    for found, expected in (
        (loss(x, LABELS), naive(x) / len(LABELS)),
        (loss(x, LABELS, weights, avg_factor=3.0), naive(x, weights) / 3),
        (loss(x, LABELS, weights, reduction_override='sum'), naive(x, weights)),
    ):
        assert_same(found, expected, x)
    only = torch.full([len(LABELS)], C)
    torch.testing.assert_close(loss(x, only), F.cross_entropy(x, only))


def test_box_head_trains_and_predicts_by_softmax():
    cosine = dict(type='CosineLinear', scale=20.0)
    head = box_head(loss_cls=dict(type='LDAMLoss', scale=20.0), cls_predictor_cfg=cosine)
    assert head.loss_cls.num_classes == C
    head.set_class_frequency(ClassFrequency(COUNTS))
    x, _ = head(torch.randn(len(LABELS), 2, 7, 7))
    rois, weights = torch.zeros(len(LABELS), 5), torch.ones(len(LABELS))
    losses = head.loss(x, None, rois, LABELS, weights, None, None)
    assert_same(losses['loss_cls'], naive(x) / len(LABELS), x)
    assert 0 <= losses['acc'].item() <= 100
    losses['loss_cls'].backward()
    assert head.fc_cls.weight.grad.any()
    x = torch.randn(3, C + 1)
    torch.testing.assert_close(predicted(head.eval(), x), x.softmax(1)[:, :C])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_no_rois(dtype):
    x = (5 * logits(C + 1, torch.float32)).detach().to(dtype).requires_grad_()
    found = build(scale=20.0)(x, LABELS, avg_factor=8.0)
    torch.testing.assert_close(found.double(), naive(x.double()) / 8, rtol=1e-5, atol=1e-5)
    empty = torch.zeros(0, C + 1, dtype=dtype, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    value = build()(empty, none, torch.zeros(0), avg_factor=1.0)
    value.backward()
    assert value == 0 and empty.grad.shape == empty.shape


def test_other_numbers_of_classes():
    wrong = r'loss_cls\.num_classes is 20, but bbox_head\.num_classes is 4; expected 4'
    with pytest.raises(BadInputError, match=wrong):
        box_head(loss_cls=dict(type='LDAMLoss', num_classes=20))
    with pytest.raises(BadInputError, match='num_classes=7, the data set has 4 classes'):
        build(num_classes=7)
    with pytest.raises(BadInputError, match='counts of 4 classes, but the head gives it 6 logits'):
        build()(torch.zeros(8, C + 2), LABELS)
    with pytest.raises(RuntimeError, match=r'LDAMLoss has no class .*ClassFrequencyHook'):
        MODELS.build(dict(type='LDAMLoss'))(torch.zeros(8, C + 1), LABELS)
