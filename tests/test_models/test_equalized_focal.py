"""Equalized focal loss against its formula in loops, and against MMDetection's focal loss."""

from __future__ import annotations

import math

import pytest
import torch
from mmdet.models.losses import FocalLoss
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import Tensor

from lt_det.errors import BadInputError
from lt_det.models.losses import EqualizedFocalLoss

from .two_processes import in_two_processes

C = 4
LABELS = torch.tensor([0, 0, 0, 1, 2, 4, 4, 4])
DTYPES = pytest.mark.parametrize('dtype', [torch.float32, torch.float64])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def logits(channels: int = C, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(len(LABELS), channels, dtype=dtype, requires_grad=True)


def assert_same(ours: Tensor, theirs: Tensor, x: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    gradients = (torch.autograd.grad(loss.sum(), x)[0] for loss in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def naive(z: Tensor, ratio: list[float], alpha=0.25, gamma=2.0, scale=8.0) -> Tensor:
    """Loss (R, C) of equation 5 of arXiv 2201.02593, with alpha_t."""
    rows = []
    for i, label in enumerate(LABELS.tolist()):
        row = []
        for c in range(C):
            p = z[i, c].sigmoid()
            p, a = (p, alpha) if c == label else (1 - p, 1 - alpha)
            focus = gamma + scale * (1 - ratio[c])
            row.append(-a * focus / gamma * (1 - p) ** focus * p.log())
        rows.append(torch.stack(row))
    return torch.stack(rows)


@DTYPES
@pytest.mark.parametrize('channels', [C, C + 1])
def test_equals_the_formula_over_several_iterations(dtype, channels):
    """Two levels an iteration, with one ratio."""
    loss = EqualizedFocalLoss(num_classes=C).to(dtype)
    gained = [[0.0] * C, [0.0] * C]
    ratio = [1.0] * C
    for iteration in range(3):
        if iteration:
            ratio = [min(p / (n + 1e-10), 1) for p, n in zip(*gained)]
        levels = [logits(channels, dtype) for _ in range(2)]
        found = [loss(x, LABELS, avg_factor=3.0) for x in levels]
        for x, ours in zip(levels, found):
            terms = naive(x, ratio)
            (gradient,) = torch.autograd.grad(terms.sum(), x, retain_graph=True)
            for i, label in enumerate(LABELS.tolist()):
                for c in range(C):
                    gained[c != label][c] += gradient[i, c].abs().item()
            assert_same(ours, terms.sum() / 3, x)
    assert min(ratio) < 0.5
    torch.testing.assert_close(loss.pos_neg, torch.tensor(ratio, dtype=dtype), rtol=1e-5, atol=0)


@DTYPES
@pytest.mark.parametrize('reduction', ['mean', 'sum', 'none'])
@pytest.mark.parametrize('avg_factor', [None, 3.0])
@pytest.mark.parametrize('weights', [None, 'rows', 'logits'])
def test_is_focal_loss_without_scale(dtype, reduction, avg_factor, weights):
    if reduction == 'sum':
        avg_factor = None  # MMDetection refuses it
    kwargs = dict(gamma=1.5, alpha=0.3, reduction=reduction, loss_weight=2.0)
    ours, theirs = EqualizedFocalLoss(C, scale=0, **kwargs), FocalLoss(**kwargs)
    weight = None if weights is None else torch.rand(len(LABELS), C if weights == 'logits' else 1)
    weight = weight[:, 0] if weights == 'rows' else weight
    for _ in range(2):
        x = logits(dtype=dtype)
        assert_same(*(loss(x, LABELS, weight, avg_factor) for loss in (ours, theirs)), x)


@pytest.mark.parametrize('weight', [None, torch.ones(0), torch.ones(0, C)])
def test_without_rows(weight):
    loss = EqualizedFocalLoss(num_classes=C)
    x = torch.zeros(0, C, requires_grad=True)
    found = loss(x, torch.zeros(0, dtype=torch.long), weight, avg_factor=1.0)
    found.backward()
    assert found.item() == 0 and x.grad.shape == x.shape


def test_starts_as_focal_loss():
    x = logits()
    assert_same(EqualizedFocalLoss(C)(x, LABELS), FocalLoss()(x, LABELS), x)


def test_gradient_is_that_of_the_loss():
    x = logits(dtype=torch.float64)
    loss = EqualizedFocalLoss(C).double()
    loss.pos_neg.copy_(torch.rand(C))
    weight = torch.rand(len(LABELS), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: loss(z, LABELS, weight, 2.0), x)


@pytest.mark.parametrize('size', [60.0, 1000.0])
def test_confident_logits_give_finite_gradients(size):
    x = (torch.tensor([[size, -size]]).repeat(2, 2)).requires_grad_()
    loss = EqualizedFocalLoss(C)
    loss(x, torch.tensor([0, 1]), avg_factor=1.0).backward()
    assert x.grad.isfinite().all()
    assert x.grad[0, 0] == 0  # rightly sure
    assert x.grad[1, 1] == pytest.approx(-0.25)  # wrongly


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_does_not_count_what_is_not_finite(dtype, value):
    loss, plain = EqualizedFocalLoss(C), EqualizedFocalLoss(C)
    x = logits().detach().to(dtype)
    broken = x.clone()
    broken[0, 1] = broken[1] = value
    plain(x[2:].requires_grad_(), LABELS[2:])
    assert not loss(broken.requires_grad_(), LABELS).isfinite()
    torch.testing.assert_close(loss.pending, plain.pending)


def test_counts_only_what_is_trained():
    loss = EqualizedFocalLoss(C)
    with torch.no_grad():
        loss(logits(), LABELS)
    loss(logits().detach(), LABELS)
    assert not loss.pending.any()
    loss(logits(), LABELS).backward()
    assert loss.pending.any()


def test_resumes_where_it_was():
    loss, resumed = EqualizedFocalLoss(C), EqualizedFocalLoss(C)
    for _ in range(2):
        loss(logits(), LABELS).backward()
    resumed.load_state_dict(loss.state_dict())
    assert set(loss.state_dict()) == set(loss.data_buffers)
    x = logits()
    assert torch.equal(loss(x, LABELS), resumed(x, LABELS))
    assert torch.equal(loss.pos_neg, resumed.pos_neg)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(gamma=0), 'gamma is 0, expected a number > 0'),
        (dict(alpha=2), r'alpha is 2, expected a number in \[0, 1\]'),
        (dict(scale=-1), 'scale is -1, expected a number >= 0'),
        (dict(reduction='all'), "reduction is 'all', expected one of .'mean', 'sum', 'none'"),
        (dict(use_sigmoid=False), 'use_sigmoid is False, expected True'),
    ],
)
def test_bad_arguments(arguments, message):
    register_all_modules(init_default_scope=True)
    with pytest.raises(BadInputError, match=message):
        MODELS.build(dict(type='EqualizedFocalLoss', **arguments))


def iterations(batches: list[list[tuple[Tensor, Tensor]]]) -> list[Tensor]:
    """The state after some iterations, each of several calls."""
    loss = EqualizedFocalLoss(C)
    for calls in batches:
        sum(loss(x.clone().requires_grad_(), y, avg_factor=1.0) for x, y in calls).backward()
    loss._update()
    return [loss.pos_grad, loss.neg_grad, loss.pos_neg]


def work(rank: int, batches: list, expected: list[Tensor]) -> None:
    for ours, theirs in zip(iterations(batches[rank]), expected):
        torch.testing.assert_close(ours, theirs)


def test_two_processes_are_one_though_one_asks_more_often():
    calls = [[(torch.randn(8, C), LABELS) for _ in range(3)] for _ in range(3)]
    batches = [[each[:2] for each in calls], [each[2:] for each in calls]]
    in_two_processes(work, batches, iterations(calls))
