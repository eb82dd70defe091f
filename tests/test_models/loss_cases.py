"""What the tests of class losses share: logits, labels and a box head."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from torch import Tensor

from lt_det.frequency import ClassFrequency
from lt_det.models.losses import FederatedLoss

C = 4
LABELS = torch.tensor([0, 0, 0, 1, 2, 4, 4, 4])
DTYPES = pytest.mark.parametrize('dtype', [torch.float32, torch.float64])

FREQUENCY = ClassFrequency([900, 100, 9, 0], num_images=1000)


def logits(channels: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(len(LABELS), channels, dtype=dtype, requires_grad=True)


def assert_same(ours: Tensor, theirs: Tensor, x: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    gradients = (torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def box_head(**kwargs):
    cfg = dict(type='LongTailBBoxHead', num_shared_fcs=1, in_channels=2, fc_out_channels=6)
    head = MODELS.build({**cfg, 'num_classes': C, 'reg_class_agnostic': True, **kwargs})
    head.init_weights()
    return head


def predicted(head, x: Tensor) -> Tensor:
    """Class scores (R, C) that the head gives for logits."""
    rois = torch.tensor([[0.0, 1, 1, 9, 9]]).repeat(len(x), 1).to(x)
    meta = dict(img_shape=(20, 20), scale_factor=(1, 1))
    deltas = x.new_zeros(len(x), 4)
    (result,) = head.predict_by_feat((rois,), (x,), (deltas,), [meta])
    return result.scores[:, :C]


def federated(**kwargs) -> FederatedLoss:
    loss = FederatedLoss(num_classes=C, **kwargs)
    loss.set_class_frequency(FREQUENCY)
    return loss
