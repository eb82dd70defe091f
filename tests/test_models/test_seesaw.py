"""The Seesaw loss against its formula in loops, and against MMDetection's own."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.losses import SeesawLoss
from speed.ballad_cost import PeakBytes
from torch import Tensor, nn

from lt_det.models.losses import LongTailSeesawLoss

from .loss_cases import (
    DTYPES,
    LABELS,
    C,
    assert_same,
    logits,
)

pytestmark = pytest.mark.usefixtures('mmdet_scope')


def naive_seesaw(z: Tensor, labels: Tensor, count: list[float], p: float, q: float) -> Tensor:
    """Mean over positives of -ln sigma, equations 3 to 8 of arXiv 2008.10032."""
    total = 0
    positive = [i for i in range(len(labels)) if labels[i] < C]
    for i in positive:
        y, classes = int(labels[i]), z[i, :C]
        probability = classes.detach().softmax(0)
        below = 0
        for j in range(C):
            mitigation = min(1.0, (max(count[j], 1) / max(count[y], 1)) ** p)
            ratio = (probability[j] / probability[y].clamp(min=1e-2)).item()
            compensation = max(1.0, ratio**q)
            factor = 1.0 if j == y else mitigation * compensation
            below = below + factor * classes[j].exp()
        total = total - classes[y] + below.log()
    return total / len(positive)


@DTYPES
def test_seesaw_equals_the_formula_over_several_batches(dtype):
    loss = LongTailSeesawLoss(num_classes=C).to(dtype)
    count = [0.0] * C
    for _ in range(3):
        x = logits(C + 2, dtype)
        for label in LABELS.tolist():
            if label < C:
                count[label] += 1
        losses = loss(x, LABELS)
        assert_same(losses['loss_cls_classes'], naive_seesaw(x, LABELS, count, 0.8, 2.0), x)
        objects = nn.functional.cross_entropy(x[:, C:], (LABELS == C).long())
        assert_same(losses['loss_cls_objectness'], objects, x)
    assert loss.cum_samples.tolist() == [9, 3, 3, 0, 9]


@DTYPES
@pytest.mark.parametrize(('avg_factor', 'reduction'), [(None, None), (5.0, None), (None, 'sum')])
def test_seesaw_is_that_of_mmdetection_in_one_process(dtype, avg_factor, reduction):
    ours, theirs = (kind(num_classes=C).to(dtype) for kind in (LongTailSeesawLoss, SeesawLoss))
    weights = torch.rand(len(LABELS))
    for _ in range(2):
        x = logits(C + 2, dtype)
        found, expected = (
            loss(x, LABELS, weights, avg_factor, reduction) for loss in (ours, theirs)
        )
        for key in expected:
            assert_same(found[key], expected[key], x)
    assert torch.equal(ours.cum_samples, theirs.cum_samples)
    assert torch.equal(ours.get_activation(x), theirs.get_activation(x))


@pytest.mark.parametrize('p', [0.0, 0.8])
@pytest.mark.parametrize('q', [0.0, 2.0])
def test_seesaw_of_many_classes_takes_a_fraction_of_the_memory(p, q):
    classes, rois = 300, 200
    x = (5 * torch.randn(rois, classes + 2)).requires_grad_()
    labels = torch.randint(classes + 1, (rois,))
    peaks = []
    for kind in (LongTailSeesawLoss, SeesawLoss):
        loss = kind(num_classes=classes, p=p, q=q)
        loss.cum_samples[:-1] = torch.logspace(0, 5, classes)
        # of MMDetection's the part that sees all classes, its positives alone
        rows = labels < classes if kind is SeesawLoss else slice(None)
        with PeakBytes() as counter:
            value = loss(x[rows], labels[rows])['loss_cls_classes']
            (gradient,) = torch.autograd.grad(value, x)
        peaks.append(counter.peak / x.nbytes)
        found = (value, gradient)
        if kind is LongTailSeesawLoss:
            ours = found
    torch.testing.assert_close(ours, found, rtol=1e-5, atol=1e-6)
    assert peaks[0] < 4.5
    if p and q:
        assert peaks[1] > 10


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_seesaw_of_half_precision_is_computed_in_full(dtype):
    x = (40 * logits(C + 2, torch.float32)).detach().to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    found, expected = (
        sum(LongTailSeesawLoss(num_classes=C)(z, LABELS).values()) for z in (x, wide)
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-2)
    found.backward()
    expected.backward()
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=4 * eps, atol=4 * eps)


def test_seesaw_without_positives():
    x = torch.randn(3, C + 2, requires_grad=True)
    losses = LongTailSeesawLoss(num_classes=C)(x, torch.full([3], C))
    sum(losses.values()).backward()
    assert losses['loss_cls_classes'] == 0
    assert torch.isfinite(x.grad).all()
