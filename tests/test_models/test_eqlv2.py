"""EQLv2 against its formula in loops, and against MMDetection's own."""

from __future__ import annotations

import math

import pytest
import torch
from mmdet.models.losses import EQLV2Loss
from torch import Tensor

from lt_det.models.losses import LongTailEQLV2Loss

from .loss_cases import (
    DTYPES,
    LABELS,
    C,
    assert_same,
    box_head,
    logits,
    predicted,
)

pytestmark = pytest.mark.usefixtures('mmdet_scope')


@DTYPES
def test_eqlv2_equals_the_formula_over_several_batches(dtype):
    loss = LongTailEQLV2Loss(num_classes=C).to(dtype)
    positive, negative = [0.0] * C, [0.0] * C
    ratio = [100.0] * C
    for _ in range(3):
        x = logits(C + 1, dtype)
        expected = 0
        gained = [[0.0] * C, [0.0] * C]
        for i, label in enumerate(LABELS.tolist()):
            for c in range(C + 1):
                f = 1.0 if c == C else 1 / (1 + math.exp(-12 * (ratio[c] - 0.8)))
                weight = 1 + 4 * (1 - f) if c == label else f
                score = x[i, c].sigmoid()
                expected = expected - weight * (score if c == label else 1 - score).log()
                if c < C:
                    size = (1 - score if c == label else score).item() * weight
                    gained[c != label][c] += size
        for c in range(C):
            positive[c] += gained[0][c]
            negative[c] += gained[1][c]
            ratio[c] = positive[c] / (negative[c] + 1e-10)
        assert_same(loss(x, LABELS), expected / len(LABELS), x)
    torch.testing.assert_close(loss.pos_neg, torch.tensor(ratio, dtype=dtype), rtol=1e-4, atol=0)


@DTYPES
def test_eqlv2_is_that_of_mmdetection_in_one_process(dtype):
    ours, theirs = (kind(num_classes=C).to(dtype) for kind in (LongTailEQLV2Loss, EQLV2Loss))
    for _ in range(3):
        x = logits(C + 1, dtype)
        assert_same(ours(x, LABELS, torch.ones(len(LABELS))), theirs(x, LABELS), x)
    assert not any(isinstance(value, Tensor) for value in vars(ours).values())
    half = ours(x, LABELS, torch.full([len(LABELS)], 0.5))
    assert half < ours(x, LABELS)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_eqlv2_does_not_count_what_is_not_finite(dtype, value):
    loss, plain = LongTailEQLV2Loss(num_classes=C), LongTailEQLV2Loss(num_classes=C)
    x = logits(C + 1, dtype).detach()
    plain(x[2:], LABELS[2:])
    x[0, 1] = x[1] = value
    assert not loss(x, LABELS).isfinite()
    for name, buffer in loss.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name), msg=name)
    assert loss(logits(C + 1, dtype), LABELS).isfinite()


@DTYPES
def test_eqlv2_head_predicts_by_sigmoids(dtype):
    loss = dict(type='LongTailEQLV2Loss', num_classes=C)
    head = box_head(loss_cls=loss).to(dtype).eval()
    x = torch.randn(3, C + 1, dtype=dtype)
    expected = torch.tensor(
        [
            [1 / (1 + math.exp(-row[c])) * (1 - 1 / (1 + math.exp(-row[C]))) for c in range(C)]
            for row in x.tolist()
        ],
        dtype=dtype,
    )
    torch.testing.assert_close(predicted(head, x), expected, rtol=1e-5, atol=1e-6)
    plain = LongTailEQLV2Loss(num_classes=C, test_with_obj=False)
    torch.testing.assert_close(plain.get_activation(x), x.sigmoid())
