"""Boundaries of masks, for Boundary AP.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021: the
IoU of two masks is the lower one of that of the masks and that of their boundaries, the pixels of a
mask within a distance of 2% of the image diagonal from its contour.
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as mask_utils

DILATION_RATIO = 0.02


def boundary_rle(rle: dict, dilation_ratio: float = DILATION_RATIO) -> dict:
    """Compressed RLE of the boundary of a mask.

    The contour of a mask at the edge of the image counts as boundary.

    Args:
        rle: Compressed mask.
        dilation_ratio: Width of the boundary relative to the image diagonal, at least one pixel.

    Returns:
        A dict with 'size' and 'counts' (bytes).
    """
    height, width = rle['size']
    distance = max(round(dilation_ratio * float(np.hypot(height, width))), 1)
    x, y, w, h = (int(value) for value in mask_utils.toBbox(rle))
    mask = mask_utils.decode(rle)
    box = mask[y : y + h, x : x + w]
    # Only the box can change, and beyond it there is only background.
    inner = _eroded(_eroded(box, distance, axis=0), distance, axis=1)
    box -= inner
    return mask_utils.encode(np.asfortranarray(mask))


def _eroded(mask: np.ndarray, distance: int, axis: int) -> np.ndarray:
    """Pixels whose neighbours up to a distance along an axis are all set; outside, none is."""
    length = mask.shape[axis]
    before = [(1, 0) if i == axis else (0, 0) for i in range(2)]
    sums = np.cumsum(np.pad(mask, before), axis=axis, dtype=np.int32)
    low, high = np.arange(length) - distance, np.arange(length) + distance + 1
    inside = (low >= 0) & (high <= length)
    total = np.take(sums, np.minimum(high, length), axis=axis)
    total -= np.take(sums, np.maximum(low, 0), axis=axis)
    full = np.expand_dims(inside, 1 - axis) & (total == 2 * distance + 1)
    return full.astype(np.uint8)
