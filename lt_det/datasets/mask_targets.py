"""Mask targets of a batch: what each box shows of its object, made on the device of the boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.ops.roi_align import roi_align
from torch import Tensor

_PLANES = 8  # whole masks that are in memory at once

Crop = tuple[int, int, np.ndarray]


def mask_targets(
    crops: Sequence[Sequence[Crop]],
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Tensor],
    objects: Sequence[np.ndarray],
    out_shape: tuple[int, int],
    binarize: bool = True,
) -> Tensor:
    """Mask targets of the boxes of some images, one image behind another.

    MMDetection makes a whole mask in floats of each box. Here those of a few objects are there at a
    time, and the device gets the pixels around all objects of the batch in one copy, and the
    numbers of the objects in another; it is not waited for.

    Args:
        crops: Of each image (top, left, pixels) of its objects: rectangles outside of which an
            object has no pixel.
        sizes: Height and width of each image.
        boxes: Of each image (R_i, 4) as x1, y1, x2, y2, on any device.
        objects: Of each image (R_i,), the object of each box.
        out_shape: h, w.
        binarize: Whether targets are boolean, from a half on, rather than shares of pixels.

    Returns:
        (R, h, w) on the device of the boxes, boolean or in their type.
    """
    parts = [np.unique(numbers, return_inverse=True) for numbers in objects]
    orders = [np.argsort(number, kind='stable') for _, number in parts]
    used = [[image[i] for i in chosen] for image, (chosen, _) in zip(crops, parts)]
    flat = [crop[2].ravel() for image in used for crop in image]
    device = boxes[0].device
    if not flat:
        empty = boxes[0].new_zeros((0, *out_shape))
        return empty.bool() if binarize else empty
    pixels = torch.from_numpy(np.concatenate(flat)).to(device)
    pixels = iter(pixels.split([crop.size for crop in flat]))
    starts = np.cumsum([0, *(len(order) for order in orders)])
    # boxes of the same object side by side: which box is the r-th, and which plane it is on
    places = np.concatenate([start + order for start, order in zip(starts, orders)])
    planes_of = np.concatenate(
        [number[order] % _PLANES for (_, number), order in zip(parts, orders)]
    )
    order, plane_of = torch.from_numpy(np.stack([places, planes_of])).to(device)
    boxes = torch.cat(list(boxes))[order]
    rois = torch.cat([plane_of.to(boxes)[:, None], boxes], 1).split(np.diff(starts).tolist())
    pooled = []
    for image, (height, width), rois_of_image, (_, number) in zip(used, sizes, rois, parts):
        counts = np.bincount(number // _PLANES).tolist()
        for start, group_rois in zip(range(0, len(image), _PLANES), rois_of_image.split(counts)):
            group = image[start : start + _PLANES]
            planes = group_rois.new_zeros(len(group), 1, height, width)
            for plane, (top, left, crop) in zip(planes, group):
                rows, columns = crop.shape
                inside = plane[0, top : top + rows, left : left + columns]
                inside.copy_(next(pixels).view(rows, columns))
            pooled.append(roi_align(planes, group_rois, out_shape, 1.0, 0, 'avg', True).squeeze(1))
    pooled = torch.cat(pooled)
    pooled = pooled >= 0.5 if binarize else pooled
    return torch.empty_like(pooled).index_copy_(0, order, pooled)
