"""Bilinear samples of feature maps, and where the pooling of regions takes them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def corners(y: Tensor, x: Tensor, height: int, width: int) -> Iterator[tuple[Tensor, ...]]:
    """The four cells around each place (y, x): row, column and weight, of the shape of ``y``.

    A place outside the map takes the value of the border, up to 1 cell away; 0 beyond, and where
    the place is no number.
    """
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.floor(), x.floor()
    for row, part in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share in ((left, 1 - (x - left)), (left + 1, x - left)):
            weight = (part * share).masked_fill(~inside, 0)
            yield row.long().clamp(0, height - 1), column.long().clamp(0, width - 1), weight


def sample(features: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Values (R, ..., D) of ``features`` (B, D, H, W) at the places (R, ...) of R regions.

    Args:
        image: (R,) index of the feature map of each region.
        y: Rows of the places, in cells.
        x: Columns.
    """
    batch, channels, height, width = features.shape
    table = features.permute(0, 2, 3, 1).reshape(batch * height * width, channels)
    first = image.view(-1, *[1] * (y.dim() - 1)) * height
    parts = [
        table[(first + row) * width + column] * weight[..., None]
        for row, column, weight in corners(y, x, height, width)
    ]
    return sum(parts)


def grids(
    extents: Tensor, size: tuple[int, int], sampling_ratio: int
) -> Iterator[tuple[Tensor | slice, tuple[int, int]]]:
    """Samples of a bin down and across, with the regions that have as many.

    Args:
        extents: (R, 2) height and width of the regions in cells.
        size: Bins down and across.
        sampling_ratio: Samples of a bin in each direction; 0: as many as it has cells.
    """
    if sampling_ratio > 0:
        yield slice(None), (sampling_ratio, sampling_ratio)
        return
    counts = (extents.detach() / extents.new_tensor(size)).ceil().long()
    for grid in counts.unique(dim=0) if len(counts) else ():
        yield (counts == grid).all(1).nonzero()[:, 0], tuple(grid.tolist())


def bin_samples(
    starts: Tensor, extents: Tensor, size: tuple[int, int], grid: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Rows and columns of the samples of each bin, both (R, h, w, S), S = their number in a bin.

    Args:
        starts: (R, 2) first corner, y and x, of the regions; or (R, 2, h, w), one for each bin.
        extents: (R, 2) height and width of the regions.
        size: Bins down and across, (h, w).
        grid: Samples of a bin down and across.
    """
    places = []
    for axis in (0, 1):
        shape = [1, 1, 1, 1]
        shape[1 + axis] = size[axis]
        bins = torch.arange(size[axis], device=starts.device).view(shape)
        inside = (torch.arange(grid[axis], device=starts.device) + 0.5) / grid[axis]
        inside = inside.repeat_interleave(grid[1]) if axis == 0 else inside.repeat(grid[0])
        step = extents[:, axis].view(-1, 1, 1, 1) / size[axis]
        start = starts[:, axis]
        start = start.view(-1, 1, 1, 1) if start.dim() == 1 else start[..., None]
        places.append(start + (bins + inside.to(step)) * step)
    y, x = places
    return y.expand(-1, *size, -1), x.expand(-1, *size, -1)
