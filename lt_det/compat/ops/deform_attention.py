"""Multi-scale deformable attention (arXiv 2010.04159) by torch's bilinear sampling.

One level at a time, and what autograd needs is computed again on the way back: the memory is that
of the samples of one level.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import wide


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sums (B, Q, M * D) of the values at the sampling locations.

    Args:
        value: (B, S, M, D) of M heads; S runs through the cells of all levels.
        spatial_shapes: (L, 2) height and width of the levels.
        sampling_loc: (B, Q, M, L, P, 2) as x, y, the map from 0 to 1.
        attn_weight: (B, Q, M, L, P).
    """
    wide_value, locations, weights = wide(value, sampling_loc, attn_weight)
    batch, _, heads, channels = value.shape
    queries = locations.shape[1]
    output = wide_value.new_zeros(batch * heads, channels, queries)
    for level, cells, shape in _levels(spatial_shapes):
        output += _attend(
            wide_value[:, cells], shape, locations[:, :, :, level], weights[:, :, :, level]
        )
    output = output.view(batch, heads * channels, queries).transpose(1, 2)
    return output.to(value.dtype).contiguous()


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Gradients of :func:`ms_deform_attn_forward`, written into the three buffers."""
    wide_value, locations, weights, gradient = wide(value, sampling_loc, attn_weight, grad_output)
    batch, _, heads, channels = value.shape
    gradient = gradient.transpose(1, 2).reshape(batch * heads, channels, -1)
    for level, cells, shape in _levels(spatial_shapes):
        parts = (wide_value[:, cells], locations[:, :, :, level], weights[:, :, :, level])
        buffers = (grad_value[:, cells], grad_sampling_loc[:, :, :, level])
        buffers += (grad_attn_weight[:, :, :, level],)
        with torch.enable_grad():
            features, places, shares = (part.detach().requires_grad_() for part in parts)
            output = _attend(features, shape, places, shares)
        gradients = torch.autograd.grad(output, (features, places, shares), gradient)
        for buffer, by_part in zip(buffers, gradients):
            buffer.copy_(by_part)


def _levels(spatial_shapes: Tensor) -> Iterator[tuple[int, slice, tuple[int, int]]]:
    """Number, cells and shape of each level.

    The shapes are read from the device; MultiScaleDeformableAttention has just done so too, to
    compare their sum.
    """
    start = 0
    for level, (height, width) in enumerate(spatial_shapes.tolist()):
        yield level, slice(start, start + height * width), (height, width)
        start += height * width


def _attend(value: Tensor, shape: tuple[int, int], locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums (B * M, D, Q) in one level.

    Args:
        value: (B, H * W, M, D).
        shape: H and W.
        locations: (B, Q, M, P, 2).
        weights: (B, Q, M, P).
    """
    batch, _, heads, channels = value.shape
    features = value.permute(0, 2, 3, 1).reshape(batch * heads, channels, *shape)
    grid = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    sampled = F.grid_sample(features, grid, padding_mode='zeros', align_corners=False)
    return (sampled * weights.transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)


OPS = (ms_deform_attn_forward, ms_deform_attn_backward)
