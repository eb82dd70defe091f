"""Nothing waits for the device, and nothing is made beside it.

Tensors of the meta device have no values to read, and do not mix with those of another.
"""

from __future__ import annotations

import mmcv.ops
import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

LABELS = torch.tensor([0, 4, 2])
ROIS = torch.tensor([[0.0, 2, 3, 30, 41], [1.0, 8, 1, 22, 50]])
SHAPES = torch.tensor([[3, 4], [2, 2]])  # the one thing that is read, here on the CPU


def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, SHAPES[0], locations, weights, 64)


@pytest.mark.parametrize(
    'op, shapes',
    [
        (
            lambda z: mmcv.ops.sigmoid_focal_loss(z, LABELS.to(z.device), 2.0, 0.25, None, 'none'),
            [(3, 4)],
        ),
        (
            lambda z: mmcv.ops.softmax_focal_loss(z, LABELS.to(z.device), 2.0, 0.25, None, 'sum'),
            [(3, 5)],
        ),
        (lambda f: mmcv.ops.roi_align(f, ROIS.to(f), 3, 0.25, 2, 'avg', True), [(2, 3, 9, 9)]),
        (lambda f: mmcv.ops.roi_align(f, ROIS.to(f), 3, 0.25, 2, 'max', True), [(2, 3, 9, 9)]),
        (
            lambda f, o: mmcv.ops.deform_roi_pool(f, ROIS.to(f), o, (3, 3), 0.25, 2, 0.1),
            [(2, 3, 9, 9), (2, 2, 3, 3)],
        ),
        (
            lambda f, o, w: mmcv.ops.deform_conv2d(f, o, w, 1, 1),
            [(2, 4, 6, 7), (2, 18, 6, 7), (3, 4, 3, 3)],
        ),
        (
            lambda f, o, m, w: mmcv.ops.modulated_deform_conv2d(f, o, m, w, None, 1, 1),
            [(2, 4, 6, 7), (2, 18, 6, 7), (2, 9, 6, 7), (3, 4, 3, 3)],
        ),
        (lambda f, m: mmcv.ops.carafe(f, m, 3, 2, 2), [(2, 4, 3, 4), (2, 18, 6, 8)]),
        (attend, [(2, 16, 2, 3), (2, 5, 2, 2, 2, 2), (2, 5, 2, 2, 2)]),
    ],
    ids=[
        'sigmoid_focal_loss',
        'softmax_focal_loss',
        'roi_align',
        'roi_align_max',
        'deform_roi_pool',
        'deform_conv',
        'modulated_deform_conv',
        'carafe',
        'ms_deform_attn',
    ],
)
def test_on_a_device_without_values(op, shapes):
    tensors = [torch.empty(shape, device='meta', requires_grad=True) for shape in shapes]
    output = op(*tensors)
    gradients = torch.autograd.grad(output, tensors, torch.ones_like(output))
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in tensors]
