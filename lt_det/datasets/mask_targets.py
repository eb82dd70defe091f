"""Mask targets of a batch: what each box shows of its object, made on the device of the boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.ops.roi_align import roi_align
from torch import Tensor

from lt_det.upload import upload

_PLANES = 32  # whole masks that are in memory at once, 140 MB at 800 x 1333

Crop = tuple[int, int, np.ndarray]


def mask_targets(
    crops: Sequence[Sequence[Crop]],
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Tensor],
    objects: Sequence[np.ndarray],
    out_shape: tuple[int, int],
    binarize: bool = True,
    clip: bool = False,
) -> Tensor:
    """Mask targets of the boxes of some images, one image behind another.

    MMDetection makes a whole mask in floats of each box. Here those of some objects are there at a
    time, of several images where these are of one size, and the device gets the pixels around all
    objects of the batch in one copy, and the numbers of the objects in another; it is not waited
    for.

    Args:
        crops: Of each image (top, left, pixels) of its objects: rectangles outside of which an
            object has no pixel.
        sizes: Height and width of each image.
        boxes: Of each image (R_i, 4) as x1, y1, x2, y2, on any device.
        objects: Of each image (R_i,), the object of each box.
        out_shape: h, w.
        binarize: Whether targets are boolean, from a half on, rather than shares of pixels.
        clip: Whether boxes end at the border of their image.

    Returns:
        (R, h, w) on the device of the boxes, boolean or in their type.
    """
    first = np.cumsum([0, *(len(of_image) for of_image in crops)])
    numbers = np.concatenate([start + of_image for start, of_image in zip(first, objects)])
    if not len(numbers):
        empty = boxes[0].new_zeros((0, *out_shape))
        return empty.bool() if binarize else empty
    chosen, place = np.unique(numbers, return_inverse=True)
    every = [crop for of_image in crops for crop in of_image]
    used = [every[number] for number in chosen]
    images = np.searchsorted(first, chosen, 'right') - 1
    starts = _starts_of_groups([sizes[image] for image in images])
    group = np.searchsorted(starts, np.arange(len(used)), 'right') - 1
    # boxes of the same object side by side
    order = np.argsort(place, kind='stable')
    planes_of = (place - starts[group[place]])[order]
    device = boxes[0].device
    pixels = upload(np.concatenate([crop.ravel() for _, _, crop in used]), device)
    pixels = iter(pixels.split([crop.size for _, _, crop in used]))
    order, planes_of = upload(np.stack([order, planes_of]), device)
    boxes = torch.cat(list(boxes))[order]
    rois = torch.cat([planes_of.to(boxes)[:, None], boxes], 1)
    pooled, memory = [], None
    for start, stop, of_group in zip(
        starts, [*starts[1:], len(used)], rois.split(np.bincount(group[place]).tolist())
    ):
        height, width = sizes[images[start]]
        if clip:
            of_group[:, 1::2].clamp_(0, width)
            of_group[:, 2::2].clamp_(0, height)
        if memory is None or memory.shape[1:] != (height, width) or len(memory) < stop - start:
            memory = of_group.new_empty(stop - start, height, width)
        planes = memory[: stop - start].zero_()
        for plane, (top, left, crop) in zip(planes, used[start:stop]):
            rows, columns = crop.shape
            inside = plane[top : top + rows, left : left + columns]
            inside.copy_(next(pixels).view(rows, columns))
        pooled.append(roi_align(planes[:, None], of_group, out_shape, 1.0, 0, 'avg', True))
    pooled = torch.cat(pooled).squeeze(1)
    pooled = pooled >= 0.5 if binarize else pooled
    return torch.empty_like(pooled).index_copy_(0, order, pooled)


def _starts_of_groups(sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """The first object of each group: neighbours of one size, of which not too many."""
    starts = [0]
    for index, size in enumerate(sizes):
        if size != sizes[starts[-1]] or index - starts[-1] == _PLANES:
            starts.append(index)
    return np.array(starts)
