"""RoIAlign, the average of each bin by torchvision, the maximum by torch.

A region that is no number, as those of a training that has diverged, gives 0; torchvision would
read what lies outside its memory.

torchvision's gradient on a GPU is summed in any order, which ``deterministic=True`` of a Runner
refuses. There it is summed by torch, in the same order every time; slower, and bit for bit the
same from run to run.
"""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .bilinear import bin_samples, corners, grids, sample
from .precision import wide

FAR = 1e9  # outside every map, and so that regions of it touch none
OUTSIDE = -2  # a row that no map has
_AT_ONCE = 2**24  # values that a sum in a fixed order has ready at a time, 64 MB


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign of ``input`` (B, D, H, W) at ``rois`` (R, 5) into ``output`` (R, D, h, w).

    Args:
        argmax_y: Buffer as ``output`` for the places of the maxima; empty for the average.
        argmax_x: Likewise.
        pool_mode: 0 the maximum of the samples of a bin (0 in a bin that has none), 1 the average.
    """
    features, regions = wide(input, finite(rois))
    if pool_mode == 1:
        size = (aligned_height, aligned_width)
        output.copy_(average(features, regions, size, spatial_scale, sampling_ratio, aligned))
        return
    argmax_y.fill_(OUTSIDE)  # a bin without samples
    size = (aligned_height, aligned_width)
    starts, extents = _regions(regions, spatial_scale, aligned)
    for chosen, grid in grids(extents, size, sampling_ratio):
        if min(grid) < 1:
            continue
        y, x = bin_samples(starts[chosen], extents[chosen], size, grid)
        values = sample(features, regions[chosen, 0].long(), y, x)  # (r, h, w, S, D)
        best, place = values.max(3)
        for buffer, coordinate in ((argmax_y, y), (argmax_x, x)):
            buffer[chosen] = coordinate.gather(3, place).movedim(3, 1).to(buffer.dtype)
        output[chosen] = best.movedim(3, 1).to(output.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward`, written into ``grad_input`` (B, D, H, W)."""
    gradient, regions = wide(grad_output, finite(rois))
    if pool_mode == 1:
        grad_input.copy_(
            average_backward(
                gradient, regions, grad_input.shape, spatial_scale, sampling_ratio, aligned
            )
        )
        return
    _, channels, height, width = grad_input.shape
    plane = regions[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    total = gradient.new_zeros(grad_input.numel())
    for y, x, weight in corners(*wide(argmax_y, argmax_x), height, width):
        index = (plane[:, :, None, None] * height + y) * width + x
        total.index_add_(0, index.flatten(), (gradient * weight).flatten())
    grad_input.copy_(total.view_as(grad_input))


def average(
    features: Tensor,
    regions: Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """RoIAlign (R, D, h, w) by the average of each bin.

    Args:
        features: (B, D, H, W), of float32 or float64.
        regions: (R, 5) of the same type, made :func:`finite`.
        size: h, w.
        spatial_scale: Of the map to the image.
        sampling_ratio: Samples along each side of a bin; 0 for as many as it has pixels.
        aligned: Whether the centre of a pixel is at its half.
    """
    return torch.ops.torchvision.roi_align(
        features, regions, spatial_scale, *size, sampling_ratio, aligned
    )


def average_backward(
    gradient: Tensor,
    regions: Tensor,
    shape: tuple[int, int, int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Gradient (B, D, H, W) of :func:`average`, of the gradient (R, D, h, w) of its result.

    Args:
        gradient: Of float32 or float64.
        regions: As there.
        shape: B, D, H, W.
        spatial_scale: As there.
        sampling_ratio: As there.
        aligned: As there.
    """
    if torch.are_deterministic_algorithms_enabled() and gradient.is_cuda:
        starts, extents = _regions(regions, spatial_scale, aligned)
        return summed_in_order(
            gradient, regions[:, 0].long(), starts, extents, shape, sampling_ratio
        )
    return torch.ops.torchvision._roi_align_backward(
        gradient, regions, spatial_scale, *gradient.shape[2:], *shape, sampling_ratio, aligned
    )


def summed_in_order(
    gradient: Tensor,
    image: Tensor,
    starts: Tensor,
    extents: Tensor,
    shape: tuple[int, int, int, int],
    sampling_ratio: int,
) -> Tensor:
    """Gradient (B, D, H, W) of the average of each bin, by sums whose order torch can fix.

    Args:
        gradient: (R, D, h, w), that of the output.
        image: (R,) index of the map of each region.
        starts: (R, 2) first corners of the regions on the map, y before x.
        extents: (R, 2) their height and width.
        shape: B, D, H, W.
        sampling_ratio: As in :func:`roi_align_forward`.
    """
    batch, channels, height, width = shape
    total = gradient.new_zeros(batch * height * width, channels)
    size = tuple(gradient.shape[2:])
    gradient = gradient.movedim(1, 3)[:, :, :, None]  # (R, h, w, 1, D)
    every = torch.arange(len(image), device=image.device)
    for chosen, grid in grids(extents, size, sampling_ratio):
        samples = grid[0] * grid[1]
        if min(grid) < 1:
            continue
        step = max(_AT_ONCE // (size[0] * size[1] * samples * channels), 1)
        for part in every[chosen].split(step):
            y, x = bin_samples(starts[part], extents[part], size, grid)  # (r, h, w, S)
            first = image[part].view(-1, 1, 1, 1) * height
            for row, column, weight in corners(y, x, height, width):
                place = (first + row) * width + column
                values = gradient[part] * (weight / samples)[..., None]
                total.index_add_(0, place.flatten(), values.flatten(0, 3))
    return total.view(batch, height, width, channels).movedim(3, 1)


def finite(rois: Tensor) -> Tensor:
    """Regions, in float32 at least, with those that are no numbers far outside the map."""
    (rois,) = wide(rois)
    total = rois.sum(1, keepdim=True)
    lost = total - total != 0  # the difference of two infinities is no number
    rois = rois.masked_fill(lost, -FAR)
    rois[:, 0].clamp_(min=0)  # the map, which has to be one
    return rois


def _regions(rois: Tensor, spatial_scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """First corners (R, 2) and extents (R, 2) of the regions on the feature map, y before x."""
    boxes = rois[:, [2, 1, 4, 3]] * spatial_scale - (0.5 if aligned else 0)
    extents = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2], extents if aligned else extents.clamp(min=1)


OPS = (roi_align_forward, roi_align_backward)
