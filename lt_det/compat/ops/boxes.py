"""Overlaps of boxes (x1, y1, x2, y2)."""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import wide


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Write the overlaps of (M, 4) and (N, 4) boxes into ``ious``: (M, N), or (M,) of pairs.

    Args:
        mode: 0 divides the intersection by the union, 1 by the area of the first box.
        aligned: Compare only the boxes of the same index.
        offset: 1 counts widths as x2 - x1 + 1.
    """
    first, second = wide(bboxes1, bboxes2)
    areas1, areas2 = ((b[:, 2:] - b[:, :2] + offset).prod(1) for b in (first, second))
    if not aligned:
        first, areas1 = first[:, None], areas1[:, None]
    upper_left = torch.maximum(first[..., :2], second[:, :2])
    lower_right = torch.minimum(first[..., 2:], second[:, 2:])
    intersection = (lower_right - upper_left + offset).clamp(min=0).prod(-1)
    base = areas1 + areas2 - intersection if mode == 0 else areas1
    ious.copy_(intersection / base.clamp(min=offset))


OPS = (bbox_overlaps,)
