"""Deformable convolutions against loops, with gradients."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops import (
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2dPack,
    SAConv2d,
    deform_conv2d,
    modulated_deform_conv2d,
)
from torch.nn.functional import conv2d

from .reference import bilinear, compare_halves

GEOMETRIES = {
    'plain': dict(stride=1, padding=1, dilation=1, groups=1, deform_groups=1),
    'grouped': dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, deform_groups=2),
}


def inputs(groups: int, deform_groups: int, dtype=torch.float64, **geometry) -> list[torch.Tensor]:
    """Input, offset, mask, weight, bias."""
    features = torch.randn(2, 4, 6, 7, dtype=dtype)
    weight = torch.randn(2, 4 // groups, 3, 3, dtype=dtype)
    size = conv2d(features, weight, groups=groups, **geometry).shape[2:]
    offset = torch.randn(2, deform_groups * 18, *size, dtype=dtype)
    mask = torch.rand(2, deform_groups * 9, *size, dtype=dtype)
    tensors = [features, offset, mask, weight, torch.randn(2, dtype=dtype)]
    return [tensor.requires_grad_() for tensor in tensors]


def naive(features, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups):
    stride, padding, dilation = (
        (value, value) if isinstance(value, int) else value for value in (stride, padding, dilation)
    )
    batch, channels = features.shape[:2]
    filters, per_group, kernel_h, kernel_w = weight.shape
    height, width = offset.shape[2:]
    output = torch.zeros(batch, filters, height, width, dtype=torch.float64)
    planes = features.tolist()
    for place in torch.cartesian_prod(*map(torch.arange, output.shape)).tolist():
        n, f, y, x = place
        total = float(bias[f])
        for c in range(per_group):
            channel = f // (filters // groups) * per_group + c
            moved = channel // (channels // deform_groups)
            for i in range(kernel_h):
                for j in range(kernel_w):
                    tap = (moved * kernel_h + i) * kernel_w + j
                    down, right = offset[n, 2 * tap : 2 * tap + 2, y, x].tolist()
                    value = bilinear(
                        planes[n][channel],
                        y * stride[0] - padding[0] + i * dilation[0] + down,
                        x * stride[1] - padding[1] + j * dilation[1] + right,
                    )
                    total += float(weight[f, c, i, j]) * float(mask[n, tap, y, x]) * value
        output[n, f, y, x] = total
    return output


@pytest.mark.parametrize('geometry', GEOMETRIES.values(), ids=GEOMETRIES)
def test_outputs(geometry):
    features, offset, mask, weight, bias = inputs(**geometry)
    geometry_ = tuple(geometry.values())
    with torch.no_grad():
        output = deform_conv2d(features, offset, weight, *geometry_)
        plain = naive(features, offset, torch.ones_like(mask), weight, torch.zeros(2), *geometry_)
        torch.testing.assert_close(output, plain)
        output = modulated_deform_conv2d(features, offset, mask, weight, bias, *geometry_)
        expected = naive(features, offset, mask, weight, bias, *geometry_)
        torch.testing.assert_close(output, expected)
        narrow = [tensor.float() for tensor in (features, offset, mask, weight, bias)]
        output = modulated_deform_conv2d(*narrow, *geometry_)
        torch.testing.assert_close(output, expected.float(), rtol=1e-4, atol=1e-4)
        output = modulated_deform_conv2d(features, offset, mask, weight, None, *geometry_)
        torch.testing.assert_close(output, expected - bias[:, None, None])


@pytest.mark.parametrize('geometry', GEOMETRIES.values(), ids=GEOMETRIES)
def test_gradients(geometry):
    features, offset, mask, weight, bias = inputs(**geometry)
    geometry = tuple(geometry.values())
    check = torch.autograd.gradcheck
    assert check(
        lambda f, o, w: deform_conv2d(f, o, w, *geometry),
        (features, offset, weight),
        fast_mode=True,
    )
    frozen = features.detach(), offset.detach()
    assert check(lambda w: deform_conv2d(*frozen, w, *geometry), weight, fast_mode=True)
    for last in (bias, None):
        assert check(
            lambda f, o, m, w, b=last: modulated_deform_conv2d(f, o, m, w, b, *geometry),
            (features, offset, mask, weight),
            fast_mode=True,
        )
    fixed = [tensor.detach() for tensor in (features, offset, mask, weight)]
    assert check(lambda b: modulated_deform_conv2d(*fixed, b, *geometry), bias, fast_mode=True)


def test_without_offset_it_is_a_convolution():
    features, weight = torch.randn(2, 4, 6, 7), torch.randn(3, 4, 3, 3)
    output = deform_conv2d(features, torch.zeros(2, 18, 6, 7), weight, 1, 1)
    torch.testing.assert_close(output, conv2d(features, weight, padding=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('layer', [DeformConv2dPack, ModulatedDeformConv2dPack, SAConv2d])
def test_layers_of_mmcv(layer):
    more = dict(use_deform=True) if layer is SAConv2d else {}
    conv = layer(4, 4, 3, padding=1, **more)
    features = torch.randn(2, 4, 8, 8, requires_grad=True)
    conv(features).square().sum().backward()
    weights = {name: weight for name, weight in conv.named_parameters() if name != 'bias'}
    assert all(weight.grad.isfinite().all() for weight in [features, *weights.values()])
    assert conv.weight.grad.any()


def test_backward_twice():
    """The gradient of the weight, which is handed on between two ops, is not that of before."""
    features, offset, _, weight, _ = inputs(**GEOMETRIES['plain'])
    output = deform_conv2d(features, offset, weight, 1, 1)
    first = torch.autograd.grad(output.sum(), weight, retain_graph=True)[0]
    second = torch.autograd.grad(2 * output.sum(), (features, weight), retain_graph=True)[1]
    third = torch.autograd.grad(3 * output.sum(), weight)[0]
    torch.testing.assert_close([second, third], [2 * first, 3 * first])


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_a_tap_that_is_moved_to_nowhere_reads_zero(value):
    features, offset, mask, weight, bias = inputs(dtype=torch.float32, **GEOMETRIES['plain'])
    still = offset.detach().clone()
    still[:, 8:10] = 0  # the tap in the middle
    offset = still.clone()
    offset[:, 8:10] = value
    offset.requires_grad_()
    output = modulated_deform_conv2d(features, offset, mask, weight, bias, 1, 1)
    without = weight.detach().clone()
    without[:, :, 1, 1] = 0
    expected = modulated_deform_conv2d(features, still, mask, without, bias, 1, 1)
    torch.testing.assert_close(output, expected)
    gradients = torch.autograd.grad(output.sum(), (features, offset, mask, weight))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_offsets_of_a_larger_map():
    """As in DyHead: the memory of each image is taken as if it had the size of the output."""
    features, offset, mask, weight, bias = inputs(**GEOMETRIES['plain'])
    offset, mask = (
        torch.rand(2, channels, 9, 8, dtype=torch.float64).requires_grad_() for channels in (18, 9)
    )
    output = modulated_deform_conv2d(features, offset, mask, weight, bias, 1, 1)
    read = [
        torch.stack([image.flatten()[: n * 42].view(n, 6, 7) for image in tensor])
        for tensor, n in ((offset, 18), (mask, 9))
    ]
    expected = modulated_deform_conv2d(features, *read, weight, bias, 1, 1)
    assert output.equal(expected)
    assert torch.autograd.gradcheck(
        lambda f, o, m: modulated_deform_conv2d(f, o, m, weight, bias, 1, 1),
        (features, offset, mask),
        fast_mode=True,
    )
    with pytest.raises(RuntimeError, match='offset'):
        modulated_deform_conv2d(features, offset[..., :3], mask[..., :3], weight, bias, 1, 1)


def test_input_smaller_than_the_kernel():
    conv = DeformConv2d(2, 3, 3, padding=1)
    assert conv(torch.randn(1, 2, 2, 5), torch.randn(1, 18, 2, 5)).shape == (1, 3, 2, 5)


def test_half_precision():
    features, offset, mask, weight, bias = inputs(dtype=torch.float32, **GEOMETRIES['grouped'])
    geometry = tuple(GEOMETRIES['grouped'].values())
    compare_halves(
        lambda f, o, w: deform_conv2d(f, o, w, *geometry),
        *(tensor.detach() for tensor in (features, offset, weight)),
    )
    compare_halves(
        lambda f, o, m, w, b: modulated_deform_conv2d(f, o, m, w, b, *geometry),
        *(tensor.detach() for tensor in (features, offset, mask, weight, bias)),
    )


@pytest.mark.parametrize('layer', [DeformConv2dPack, ModulatedDeformConv2dPack])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast(layer, dtype):
    conv = layer(4, 4, 3, padding=1)
    with torch.autocast('cpu', dtype):
        output = conv(torch.randn(1, 4, 8, 8))
    assert output.dtype == dtype
    output.float().sum().backward()
    assert conv.weight.grad.dtype == torch.float32
    assert conv.weight.grad.any()
