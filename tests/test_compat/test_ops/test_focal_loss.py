"""Focal losses against loops, and against MMDetection's own in plain torch."""

from __future__ import annotations

import math

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.models.losses.focal_loss import sigmoid_focal_loss as mmdet_sigmoid_focal_loss
from torch.nn.functional import one_hot

from lt_det.compat.ops import focal_loss

from .reference import compare_halves


def tolerance(dtype: torch.dtype) -> dict[str, float]:
    return dict(rtol=1e-12, atol=1e-14) if dtype == torch.float64 else dict(rtol=1e-5, atol=1e-7)


def logits_and_labels(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.randn(6, 4, dtype=dtype) * 4
    return logits.requires_grad_(), torch.tensor([0, 3, 4, 1, 4, 3])  # 4 is the background


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid_loss_equals_the_formula(dtype, gamma, weighted):
    logits, labels = logits_and_labels(dtype)
    weight = torch.rand(4, dtype=dtype) if weighted else None
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist()):
        scale = float(weight[label]) if weighted and label < 4 else 1.0
        for c, z in enumerate(row):
            p = 1 / (1 + math.exp(-z))
            if c == label:
                loss = -0.25 * (1 - p) ** gamma * math.log(p)
            else:
                loss = -0.75 * p**gamma * math.log(1 - p)
            expected.append(scale * loss)
    expected = torch.tensor(expected, dtype=torch.float64).view(6, 4).to(dtype)
    loss = sigmoid_focal_loss(logits, labels, gamma, 0.25, weight, 'none')
    torch.testing.assert_close(loss, expected, **tolerance(dtype))
    for reduction in ('sum', 'mean'):
        reduced = sigmoid_focal_loss(logits, labels, gamma, 0.25, weight, reduction)
        total = expected.sum() / (6 if reduction == 'mean' else 1)
        torch.testing.assert_close(reduced, total, **tolerance(dtype))


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
def test_sigmoid_gradient(reduction, gamma):
    logits, labels = logits_and_labels()
    for weight in (None, torch.rand(4, dtype=torch.float64)):
        assert torch.autograd.gradcheck(
            lambda z, w=weight: sigmoid_focal_loss(z, labels, gamma, 0.25, w, reduction), logits
        )


def test_rows_are_taken_in_blocks(monkeypatch):
    logits, labels = logits_and_labels()
    whole = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, 'none')
    gradient = torch.autograd.grad(whole.sum(), logits)[0]
    monkeypatch.setattr(focal_loss, 'BLOCK', 9)  # two rows, and an end that is not full
    parts = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, 'none')
    assert parts.equal(whole)
    assert torch.autograd.grad(parts.sum(), logits)[0].equal(gradient)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_equals_the_loss_that_mmdetection_takes_on_the_cpu(dtype):
    """On a GPU it calls the op: values and gradients are those of its CPU path."""
    logits, labels = torch.randn(50, 20, dtype=dtype).requires_grad_(), torch.randint(21, (50,))
    weight = torch.rand(50, dtype=dtype)
    losses = (
        mmdet_sigmoid_focal_loss(logits, labels, weight, avg_factor=7.0),
        py_sigmoid_focal_loss(logits, one_hot(labels, 21)[:, :20], weight, avg_factor=7.0),
    )
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in losses))


def test_finite_where_the_sigmoid_is_saturated():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0, 0]), 2.0, 0.25, None, 'none')
    expected = torch.tensor([[0.0, 0.0], [50.0, 150.0]])
    torch.testing.assert_close(loss, expected)
    gradient = torch.autograd.grad(loss.sum(), logits)[0]
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0], [-0.25, 0.75]]))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('gamma', [1.0, 2.0])
@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_loss_equals_the_formula(dtype, gamma, weighted):
    logits, labels = torch.randn(6, 4, dtype=dtype) * 2, torch.tensor([0, 3, 2, 1, -1, 3])
    weight = torch.rand(4, dtype=dtype) if weighted else None
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist()):
        p = math.exp(row[label]) / sum(math.exp(z) for z in row)
        scale = float(weight[label]) if weighted else 1.0
        expected.append(-0.25 * scale * (1 - p) ** gamma * math.log(p) if label >= 0 else 0.0)
    loss = softmax_focal_loss(logits, labels, gamma, 0.25, weight, 'none')
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=dtype), **tolerance(dtype))


@pytest.mark.parametrize('reduction', ['mean', 'sum'])  # mmcv cannot multiply that of 'none'
@pytest.mark.parametrize('gamma', [1.0, 2.0])
def test_softmax_gradient(reduction, gamma):
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 2, 1, -1, 3])
    for weight in (None, torch.rand(4, dtype=torch.float64)):
        assert torch.autograd.gradcheck(
            lambda z, w=weight: softmax_focal_loss(z, labels, gamma, 0.25, w, reduction), logits
        )


def test_half_precision():
    logits, labels = torch.randn(20, 5), torch.randint(6, (20,))
    compare_halves(lambda z: sigmoid_focal_loss(z, labels, 2.0, 0.25, None, 'none'), logits)
    weight = torch.rand(5)
    compare_halves(
        lambda z, w: sigmoid_focal_loss(z, labels, 2.0, 0.25, w.detach(), 'sum'), logits, weight
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_of_the_softmax(dtype):
    """mmcv computes the probabilities themselves in the type that it is given."""
    labels = torch.randint(5, (20,))
    exact = torch.randn(20, 5).to(dtype).float().requires_grad_()
    half = exact.detach().to(dtype).requires_grad_()
    losses = [softmax_focal_loss(z, labels, 2.0, 0.25, None, 'sum') for z in (exact, half)]
    assert losses[1].dtype == dtype
    tolerance = 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(losses[1].float(), losses[0], rtol=tolerance, atol=tolerance)
    gradients = [torch.autograd.grad(loss, z)[0].float() for loss, z in zip(losses, (exact, half))]
    torch.testing.assert_close(*gradients, rtol=tolerance, atol=tolerance)


def test_no_rows():
    empty, labels = torch.zeros(0, 4, requires_grad=True), torch.zeros(0, dtype=torch.long)
    assert sigmoid_focal_loss(empty, labels, 2.0, 0.25, None, 'none').shape == (0, 4)
    loss = sigmoid_focal_loss(empty, labels, 2.0, 0.25, None, 'sum')
    loss.backward()
    assert (float(loss), empty.grad.shape) == (0, (0, 4))
    assert float(softmax_focal_loss(empty, labels, 2.0, 0.25, None, 'sum')) == 0
