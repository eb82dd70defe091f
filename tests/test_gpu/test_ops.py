"""The stand-ins for mmcv's ops on a GPU: values and gradients are those of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import mmcv.ops
import pytest
import torch
from common.mock_gpu import NAME
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmdet.models.losses import FocalLoss
from torch import Tensor

from lt_det.compat.ops import Ops

LABELS = torch.tensor([0, 4, 2, 1, 4, 3])
ROIS = torch.tensor([[0.0, 2, 3, 30, 41], [1.0, 8, 1, 22, 50], [1.0, 12, 12, 70, 44]])
SHAPES = torch.tensor([[3, 4], [2, 2]])


def features(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    shapes, starts = SHAPES.to(value.device), torch.tensor([0, 12], device=value.device)
    return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)


CASES: dict[str, tuple[Callable[..., Tensor], Callable[[], list[Tensor]]]] = {
    'sigmoid_focal_loss': (
        lambda z: mmcv.ops.sigmoid_focal_loss(z, LABELS.to(z.device), 2.0, 0.25, None, 'none'),
        lambda: [features(6, 4)],
    ),
    'softmax_focal_loss': (
        lambda z: mmcv.ops.softmax_focal_loss(z, LABELS.to(z.device), 2.0, 0.25, None, 'sum'),
        lambda: [features(6, 5)],
    ),
    'roi_align_max': (
        lambda f: mmcv.ops.roi_align(f, ROIS.to(f), 3, 0.25, 2, 'max', True),
        lambda: [features(2, 3, 16, 16)],
    ),
    'roi_pool': (
        lambda f: mmcv.ops.roi_pool(f, ROIS.to(f), 3, 0.25),
        lambda: [features(2, 3, 16, 16)],
    ),
    'deform_roi_pool': (
        lambda f, o: mmcv.ops.deform_roi_pool(f, ROIS.to(f), o, (3, 3), 0.25, 2, 0.1),
        lambda: [features(2, 3, 16, 16), features(3, 2, 3, 3)],
    ),
    'deform_conv': (
        lambda f, o, w: mmcv.ops.deform_conv2d(f, o, w, 1, 1),
        lambda: [features(2, 4, 6, 7), features(2, 18, 6, 7), features(3, 4, 3, 3)],
    ),
    'modulated_deform_conv': (
        lambda f, o, m, w, b: mmcv.ops.modulated_deform_conv2d(f, o, m, w, b, 1, 1),
        lambda: [
            features(2, 4, 6, 7),
            features(2, 18, 6, 7),
            features(2, 9, 6, 7),
            features(3, 4, 3, 3),
            features(3),
        ],
    ),
    'ms_deform_attn': (
        attend,
        lambda: [features(2, 16, 2, 3), features(2, 5, 2, 2, 2, 2), features(2, 5, 2, 2, 2)],
    ),
    'carafe': (
        lambda f, m: mmcv.ops.carafe(f, m, 3, 2, 2),
        lambda: [features(2, 4, 3, 4), features(2, 18, 6, 8)],
    ),
    'carafe_naive': (
        lambda f, m: mmcv.ops.carafe_naive(f, m, 3, 2, 2),
        lambda: [features(2, 4, 3, 4), features(2, 18, 6, 8)],
    ),
}


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch) -> None:
    if not isinstance(import_module('mmcv._ext'), Ops):
        pytest.skip('mmcv has compiled ops here')
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    torch.manual_seed(0)


def results(op: Callable[..., Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """Output and gradients on the CPU."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = op(*leaves)
    weight = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output)
    return [
        t.detach().cpu().double() for t in (output, *torch.autograd.grad(output, leaves, weight))
    ]


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', CASES)
def test_equals_the_cpu(name, dtype, device):
    if name == 'deform_conv' and device.type == NAME:
        pytest.skip('tensors of the mock GPU keep their shape, and this op resizes a buffer')
    op, make = CASES[name]
    tensors = [tensor.to(dtype) for tensor in make()]
    expected = results(op, tensors)
    given = results(op, [tensor.to(device) for tensor in tensors])
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-4}.get(dtype, 4 * torch.finfo(dtype).eps)
    for ours, theirs in zip(given, expected, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * scale)


def test_roi_align_has_a_deterministic_gradient(device):
    """As ``deterministic=True`` of a Runner asks for it."""
    regions = torch.rand(200, 5) * 40
    regions[:, 3:] += regions[:, 1:3]
    regions[:, 0] = torch.arange(200) % 2
    maps = torch.randn(2, 8, 16, 16)
    weight = torch.randn(200, 8, 7, 7)

    def gradient(place: torch.device | str) -> Tensor:
        leaf = maps.to(place, copy=True).requires_grad_()
        pooled = mmcv.ops.roi_align(leaf, regions.to(place), 7, 0.25, 0, 'avg', True)
        return torch.autograd.grad((pooled * weight.to(place)).sum(), leaf)[0].cpu()

    expected = gradient('cpu')
    torch.use_deterministic_algorithms(True)
    try:
        first, second = gradient(device), gradient(device)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-4)


def test_boxes_and_places(device):
    rects = torch.rand(40, 4) * 20
    rects[:, 2:] += rects[:, :2] + 1
    scores = torch.rand(40)
    for op in (mmcv.ops.nms, mmcv.ops.soft_nms):
        for offset in (0, 1):
            expected = op(rects, scores, 0.4, offset=offset)[1]
            assert (
                op(rects.to(device), scores.to(device), 0.4, offset=offset)[1].cpu().equal(expected)
            )
    overlaps = mmcv.ops.bbox_overlaps(rects, rects)
    torch.testing.assert_close(
        mmcv.ops.bbox_overlaps(rects.to(device), rects.to(device)).cpu(), overlaps
    )
    conv = mmcv.ops.MaskedConv2d(3, 4, 3, padding=1)
    inputs = torch.randn(1, 3, 6, 7), torch.rand(1, 6, 7) > 0.6
    expected = conv(*inputs)
    given = conv.to(device)(*(tensor.to(device) for tensor in inputs)).cpu()
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def test_focal_loss_of_mmdetection(device):
    """It takes the op on a GPU and plain torch on the CPU."""
    logits, labels = torch.randn(50, 20), torch.randint(21, (50,))
    expected = results(lambda z: FocalLoss()(z, labels), [logits])
    given = results(lambda z: FocalLoss()(z, labels.to(device)), [logits.to(device)])
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-6)
