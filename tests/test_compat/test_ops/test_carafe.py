"""CARAFE against a loop, with gradients; both forms of mmcv are one op here."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops import CARAFEPack, carafe, carafe_naive

from .reference import compare_halves


def inputs(kernel: int, groups: int, scale: int, dtype=torch.float64) -> list[torch.Tensor]:
    features = torch.randn(2, 4, 3, 4, dtype=dtype)
    masks = torch.randn(2, kernel * kernel * groups, 3 * scale, 4 * scale, dtype=dtype)
    return [features.requires_grad_(), masks.requires_grad_()]


def naive(features, masks, kernel, groups, scale) -> torch.Tensor:
    batch, channels, height, width = features.shape
    output = torch.zeros(batch, channels, height * scale, width * scale, dtype=torch.float64)
    for n, c, y, x in torch.cartesian_prod(*map(torch.arange, output.shape)).tolist():
        group = c // (channels // groups)
        for i in range(kernel):
            for j in range(kernel):
                row, column = y // scale + i - kernel // 2, x // scale + j - kernel // 2
                if 0 <= row < height and 0 <= column < width:
                    mask = masks[n, (group * kernel + i) * kernel + j, y, x]
                    output[n, c, y, x] += features[n, c, row, column].detach() * mask.detach()
    return output


@pytest.mark.parametrize('op', [carafe, carafe_naive])
@pytest.mark.parametrize('arguments', [(3, 1, 2), (3, 2, 2), (5, 1, 1), (1, 2, 3)])
def test_output_and_gradients(op, arguments):
    tensors = inputs(*arguments)
    torch.testing.assert_close(op(*tensors, *arguments), naive(*tensors, *arguments))
    narrow = op(*(tensor.float() for tensor in tensors), *arguments)
    torch.testing.assert_close(narrow, naive(*tensors, *arguments).float(), rtol=1e-4, atol=1e-5)
    assert torch.autograd.gradcheck(lambda f, m: op(f, m, *arguments), tensors, fast_mode=True)


@pytest.mark.parametrize('op', [carafe, carafe_naive])
def test_half_precision(op):
    tensors = [tensor.detach() for tensor in inputs(3, 2, 2, torch.float32)]
    compare_halves(lambda f, m: op(f, m, 3, 2, 2), *tensors)


def test_layer_of_mmcv():
    layer = CARAFEPack(8, 2)
    features = torch.randn(2, 8, 5, 6, requires_grad=True)
    output = layer(features)
    assert output.shape == (2, 8, 10, 12)
    output.square().sum().backward()
    assert all(weight.grad.any() for weight in [features, *layer.parameters()])


def test_no_images():
    features = torch.randn(0, 4, 3, 4, requires_grad=True)
    output = carafe(features, torch.randn(0, 9, 6, 8), 3, 1, 2)
    assert output.shape == (0, 4, 6, 8)
    assert torch.autograd.grad(output.sum(), features)[0].shape == features.shape
