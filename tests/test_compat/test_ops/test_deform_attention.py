"""Multi-scale deformable attention against a loop, and the path that mmcv takes on the CPU."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)

from .reference import bilinear, compare_halves

SHAPES = torch.tensor([[3, 4], [2, 2]])
STARTS = torch.tensor([0, 12])


def inputs(dtype: torch.dtype = torch.float64, queries: int = 3) -> list[torch.Tensor]:
    """Values, locations (some outside the map), weights."""
    value = torch.randn(2, 16, 2, 3, dtype=dtype)
    locations = torch.rand(2, queries, 2, 2, 2, 2, dtype=dtype) * 1.4 - 0.2
    weights = torch.rand(2, queries, 2, 2, 2, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


def attend(value, locations, weights):
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def naive(value, locations, weights) -> torch.Tensor:
    batch, _, heads, channels = value.shape
    output = torch.zeros(batch, locations.shape[1], heads * channels, dtype=torch.float64)
    for n, q, m, d in torch.cartesian_prod(
        *map(torch.arange, (batch, locations.shape[1], heads, channels))
    ).tolist():
        for level, (height, width) in enumerate(SHAPES.tolist()):
            start = int(STARTS[level])
            plane = value[n, start : start + height * width, m, d].view(height, width).tolist()
            for point in range(locations.shape[4]):
                x, y = locations[n, q, m, level, point].tolist()
                sampled = bilinear(plane, y * height - 0.5, x * width - 0.5)
                weight = weights[n, q, m, level, point].item()
                output[n, q, m * channels + d] += weight * sampled
    return output


def test_output_and_gradients():
    tensors = inputs()
    output = attend(*tensors)
    torch.testing.assert_close(output, naive(*tensors))
    assert torch.autograd.gradcheck(attend, tensors)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_equals_the_path_on_the_cpu(dtype):
    tensors = inputs(dtype, queries=50)
    outputs = [
        attend(*tensors),
        multi_scale_deformable_attn_pytorch(tensors[0], SHAPES, *tensors[1:]),
    ]
    torch.testing.assert_close(*outputs)
    weight = torch.randn_like(outputs[0])
    for pair in zip(*(torch.autograd.grad(output, tensors, weight) for output in outputs)):
        torch.testing.assert_close(*pair)


def test_half_precision():
    compare_halves(attend, *(tensor.detach() for tensor in inputs(torch.float32)))


def test_no_queries():
    tensors = inputs(queries=0)
    output = attend(*tensors)
    assert output.shape == (2, 0, 6)
    assert not torch.autograd.grad(output.sum(), tensors)[0].any()
