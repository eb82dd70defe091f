"""Class-balanced loss and LDAM, recomputed sample by sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules
from torch import nn
from torch.nn import functional as F

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.losses.class_balanced_loss import effective_number_weights

COUNTS = [500, 40, 1]
FREQUENCY = ClassFrequency(COUNTS)
LABELS = torch.tensor([0, 2, 1, 2])


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def build(**cfg):
    loss = MODELS.build(cfg)
    loss.set_class_frequency(FREQUENCY)
    return loss


def naive_weights(beta: float) -> list[float]:
    weights = [(1 - beta) / (1 - beta**n) for n in COUNTS]
    return [w * len(COUNTS) / sum(weights) for w in weights]


@pytest.mark.parametrize('beta', [0.0, 0.9, 0.9999])
def test_effective_number(beta):
    found = effective_number_weights(np.array(COUNTS), beta)
    np.testing.assert_allclose(found, naive_weights(beta), rtol=1e-9)


def test_limits_of_beta():
    inverse = 3 / sum(1 / n for n in COUNTS) / np.array(COUNTS)
    np.testing.assert_allclose(effective_number_weights(np.array(COUNTS), 1), inverse)
    np.testing.assert_allclose(
        effective_number_weights(np.array(COUNTS), 1 - 1e-12), inverse, rtol=1e-6
    )
    assert np.isfinite(effective_number_weights(np.array([0, 5]), 0.999)).all()
    with pytest.raises(BadInputError, match=r'beta is 1\.1, expected a number in \[0, 1\]'):
        MODELS.build(dict(type='ClassBalancedLoss', loss=dict(type='CrossEntropyLoss'), beta=1.1))


def cross_entropy(logits, label: int):
    return -math.log(math.exp(logits[label]) / sum(math.exp(z) for z in logits))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_class_balanced_loss_of_labels_and_mixtures(dtype):
    logits = torch.randn(4, 3, dtype=dtype, requires_grad=True)
    w = naive_weights(0.9)
    rows = logits.tolist()
    hard = build(type='ClassBalancedLoss', loss=dict(type='CrossEntropyLoss'), beta=0.9)
    expected = sum(w[y] * cross_entropy(row, y) for row, y in zip(rows, LABELS.tolist())) / 4
    loss = hard(logits, LABELS, avg_factor=4)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    # d/dz of w_y CE is w_y (softmax - one-hot)
    (gradient,) = torch.autograd.grad(loss, logits)
    one_hot = F.one_hot(LABELS, 3)
    factor = torch.tensor(w, dtype=dtype)[LABELS][:, None] / 4
    torch.testing.assert_close(gradient, factor * (logits.softmax(1) - one_hot))

    soft = build(
        type='ClassBalancedLoss', loss=dict(type='CrossEntropyLoss', use_soft=True), beta=0.9
    )
    mixed = torch.rand(4, 3, dtype=dtype).softmax(1)
    expected = sum(
        t * w[c] * cross_entropy(row, c)
        for row, target in zip(rows, mixed.tolist())
        for c, t in enumerate(target)
    )
    assert soft(logits, mixed, avg_factor=4).item() == pytest.approx(expected / 4, rel=1e-5)


def test_class_balanced_loss_of_an_image_without_labels():
    loss = build(
        type='ClassBalancedLoss', loss=dict(type='CrossEntropyLoss', use_soft=True), beta=0.9
    )
    logits = torch.randn(2, 3, requires_grad=True)
    target = torch.tensor([[0.0, 0, 0], [0, 1, 0]])
    alone = loss(logits[1:], target[1:], avg_factor=2)
    found = loss(logits, target, avg_factor=2)
    torch.testing.assert_close(found, alone)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient.isfinite().all() and not gradient[0].any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_ldam_lowers_the_target(dtype):
    logits = 5 * torch.randn(4, 3, dtype=dtype, requires_grad=True)
    loss = build(type='LDAMLoss', max_margin=0.5, scale=30.0)
    margin = [0.5 * (n / min(COUNTS)) ** -0.25 for n in COUNTS]
    expected = 0
    for row, y in zip(logits.tolist(), LABELS.tolist()):
        row[y] -= 30 * margin[y]
        expected += cross_entropy(row, y) / 4
    found = loss(logits, LABELS, avg_factor=4)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    shifted = logits - 30 * torch.tensor(margin, dtype=dtype) * F.one_hot(LABELS, 3)
    theirs = F.cross_entropy(shifted, LABELS)
    wanted = torch.autograd.grad(theirs, logits, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(found, logits), wanted)


def test_a_class_without_images_changes_no_margin_of_others():
    loss = build(type='LDAMLoss', max_margin=0.5)
    loss.set_class_frequency(ClassFrequency([1000, 100, 0]))
    assert loss.margin.tolist() == pytest.approx([0.5 * 10**-0.25, 0.5, 0.5])


def test_deferred_weights_around_ldam():
    loss = build(
        type='ClassBalancedLoss', loss=dict(type='LDAMLoss', scale=30.0), beta=0.9, begin=3
    )
    plain = build(type='LDAMLoss', scale=30.0)
    logits = torch.randn(4, 3)
    for epoch in range(5):
        loss.set_epoch(epoch)
        unweighted = plain(logits, LABELS, avg_factor=4)
        weighted = sum(
            w * plain(z[None], y[None], avg_factor=4)
            for z, y, w in zip(logits, LABELS, np.array(naive_weights(0.9))[LABELS])
        )
        expected = unweighted if epoch < 3 else weighted
        torch.testing.assert_close(loss(logits, LABELS, avg_factor=4), expected.float())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_margins_and_weights_are_not_rounded_to_half_precision(dtype):
    loss = build(type='ClassBalancedLoss', loss=dict(type='LDAMLoss', scale=30.0), beta=0.9)
    logits = (20 * torch.randn(4, 3)).to(dtype).requires_grad_()
    wide = logits.detach().double().requires_grad_()
    found, expected = (loss(x, LABELS, avg_factor=4) for x in (logits, wide))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    found.backward()
    expected.backward()
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(logits.grad.double(), wide.grad, rtol=eps, atol=1e-3 * eps)


@pytest.mark.parametrize('name', ['ClassBalancedLoss', 'LDAMLoss'])
@pytest.mark.parametrize('late', [False, True])
def test_an_average_of_the_model_needs_no_copy_from_another_device(name, late):
    """The model is on the device 'meta'; its average is made before or after the statistics."""
    model = nn.ModuleList([MODELS.build(dict(type=name, loss=dict(type='CrossEntropyLoss')))])
    model.append(nn.BatchNorm1d(2))
    model.to('meta')
    average = None if late else ExponentialMovingAverage(model)
    model[0].set_class_frequency(ClassFrequency(COUNTS))
    average = average or ExponentialMovingAverage(model)
    model[0](torch.randn(4, 3, device='meta'), LABELS.to('meta'), avg_factor=4)
    average.update_parameters(model)
    pairs = zip(average.module.named_buffers(), model.named_buffers(), strict=True)
    for (ours, a), (theirs, b) in pairs:
        assert (ours, a.device, a.shape) == (theirs, b.device, b.shape)


@pytest.mark.parametrize('name', ['ClassBalancedLoss', 'LDAMLoss'])
def test_without_statistics(name):
    loss = MODELS.build(dict(type=name, loss=dict(type='CrossEntropyLoss')))
    with pytest.raises(RuntimeError, match='no class statistics yet.*ClassFrequencyHook'):
        loss(torch.randn(4, 3), LABELS)
