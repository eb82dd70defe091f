"""Deformable pooling of regions (arXiv 1703.06211): RoIAlign with bins that move."""

from __future__ import annotations

import torch
from torch import Tensor

from .bilinear import bin_samples, grids, sample
from .precision import wide


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Average of the samples of each bin of ``rois`` (R, 5) into ``output`` (R, D, h, w).

    Args:
        input: (B, D, H, W).
        offset: (R, 2, h, w), right and down, in sizes of the region times ``gamma``; or empty.
    """
    pooled = _pool(
        *wide(input, rois, offset),
        (pooled_height, pooled_width),
        spatial_scale,
        sampling_ratio,
        gamma,
    )
    output.copy_(pooled)


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Gradients of :func:`deform_roi_pool_forward`, written into the two buffers.

    They are the derivatives of the values. The compiled op has others for offsets that lead over
    the border of the map.
    """
    gradient, features, regions, offset = wide(grad_output, input, rois, offset)
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        offset = offset.detach().requires_grad_()
        size = (pooled_height, pooled_width)
        pooled = _pool(features, regions, offset, size, spatial_scale, sampling_ratio, gamma)
    if not pooled.requires_grad:  # no bin has a sample
        return
    by_input, by_offset = torch.autograd.grad(
        pooled, (features, offset), gradient, allow_unused=True
    )
    grad_input.copy_(by_input)
    if offset.numel():
        grad_offset.copy_(by_offset)


def _pool(
    features: Tensor,
    rois: Tensor,
    offset: Tensor,
    size: tuple[int, int],
    scale: float,
    sampling_ratio: int,
    gamma: float,
) -> Tensor:
    boxes = rois[:, [2, 1, 4, 3]] * scale - 0.5  # y before x
    starts, extents = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    if offset.numel():
        starts = starts[:, :, None, None] + gamma * extents[:, :, None, None] * offset.flip(1)
    pooled = features.new_zeros(len(rois), features.shape[1], *size)
    for chosen, grid in grids(extents, size, sampling_ratio):
        if min(grid) <= 0:
            continue
        y, x = bin_samples(starts[chosen], extents[chosen], size, grid)
        values = sample(features, rois[chosen, 0].long(), y, x).mean(3)
        pooled[chosen] = values.movedim(3, 1)
    return pooled


OPS = (deform_roi_pool_forward, deform_roi_pool_backward)
