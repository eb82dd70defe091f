"""RoIPool as mmcv defines it: bins of fractional size, each the maximum of the cells it touches.

torchvision's rounds the regions to whole cells first, and is another op.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import wide


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """RoIPool of ``input`` (B, D, H, W) at ``rois`` (R, 5) into ``output`` (R, D, h, w).

    Args:
        argmax: Buffer as ``output`` for the cells of the maxima, row * W + column; -1 in a bin
            that lies outside the map, whose output is 0.
    """
    features, regions = wide(input, rois)
    height, width = features.shape[2:]
    rows = _edges(regions[:, 2], regions[:, 4], spatial_scale, pooled_height, height)
    columns = _edges(regions[:, 1], regions[:, 3], spatial_scale, pooled_width, width)
    output.zero_()
    argmax.fill_(-1)
    cells = [edge((1, 2)) for edges in (rows, columns) for edge in (edges.amin, edges.amax)]
    table = torch.stack([regions[:, 0].long(), *cells], 1).tolist()
    for region, (image, top, bottom, left, right) in enumerate(table):
        if top == bottom or left == right:
            continue
        cells = features[image, :, top:bottom, left:right]
        in_row = _members(rows[region], top, bottom)
        in_column = _members(columns[region], left, right)
        best, column = cells[:, :, None].masked_fill(~in_column, -torch.inf).max(3)  # (D, y, w)
        best, row = best[:, None].masked_fill(~in_row[:, :, None], -torch.inf).max(2)  # (D, h, w)
        column = column.gather(1, row)
        filled = in_row.any(1)[:, None] & in_column.any(1)
        output[region] = best.masked_fill(~filled, 0).to(output.dtype)
        place = (row + top) * width + column + left
        argmax[region] = place.masked_fill(~filled, -1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Gradient of :func:`roi_pool_forward`, written into ``grad_input`` (B, D, H, W)."""
    (gradient,) = wide(grad_output)
    _, channels, height, width = grad_input.shape
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    index = plane[:, :, None, None] * (height * width) + argmax.clamp(min=0)
    total = gradient.new_zeros(grad_input.numel())
    total.index_add_(0, index.flatten(), gradient.masked_fill(argmax < 0, 0).flatten())
    grad_input.copy_(total.view_as(grad_input))


def _edges(first: Tensor, last: Tensor, scale: float, bins: int, cells: int) -> Tensor:
    """First cell of each bin and the one behind its last, (R, bins, 2), within the map.

    A region whose size is not positive, or no number, has none.
    """
    start, end = first * scale, (last + 1) * scale
    step = ((end - start) / bins)[:, None]
    numbers = torch.arange(bins, device=first.device)
    edges = torch.stack(
        [
            (numbers * step + start[:, None]).floor(),
            ((numbers + 1) * step + start[:, None]).ceil(),
        ],
        2,
    )
    return edges.masked_fill(~(step[..., None] > 0), 0).clamp(0, cells).long()


def _members(edges: Tensor, start: int, end: int) -> Tensor:
    """Whether each bin (n, 2) has each of the cells from ``start`` to ``end``: (n, end - start)."""
    cells = torch.arange(start, end, device=edges.device)
    return (cells >= edges[:, :1]) & (cells < edges[:, 1:])


OPS = (roi_pool_forward, roi_pool_backward)
