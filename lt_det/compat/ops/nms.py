"""Non-maximum suppression: plain, soft, and with the groups that it forms."""

from __future__ import annotations

import numpy as np
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .precision import wide


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that greedy NMS keeps, best score first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: Boxes that overlap a kept one by more than this are removed.
        offset: 1 counts widths as x2 - x1 + 1, which is to move the far corner by 1.
    """
    boxes, scores = wide(boxes, scores)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Indices of the K boxes that soft NMS keeps; ``dets[:K]`` (x1, y1, x2, y2, score) get written.

    The next box is the one whose lowered score is highest; all behind it are lowered by their
    overlap with it and dropped below ``min_score``. Boxes change places as in the compiled op, so
    that equal scores come in the same order. A pair of boxes without area overlaps by 0.

    Args:
        boxes: (N, 4) on the CPU, as are the others: mmcv brings them there.
        scores: (N,).
        dets: (N, 5), the buffer of the results.
        iou_threshold: Overlap at which methods 0 and 1 lower a score.
        sigma: Width of method 2.
        min_score: Least score of a box behind another.
        method: 0 drops, 1 multiplies by 1 - overlap, 2 by exp(-overlap^2 / sigma).
        offset: 1 counts widths as x2 - x1 + 1.
    """
    boxes, scores = wide(boxes, scores)
    table = torch.cat([boxes, scores[:, None]], 1).numpy()
    areas = _areas(table, offset)
    order = np.arange(len(table))
    start, size = 0, len(table)
    while start < size:
        best = start + int(table[start:size, 4].argmax())
        for column in (table, areas, order):
            column[[start, best]] = column[[best, start]]
        rest = slice(start + 1, size)
        overlaps = _overlaps(table[start], areas[start], table[rest], areas[rest], offset)
        if method == 2:
            table[rest, 4] *= np.exp(-(overlaps**2) / sigma)
        else:
            lowered = 1 - overlaps if method == 1 else 0
            table[rest, 4] *= np.where(overlaps >= iou_threshold, lowered, 1)
        kept = ~(table[rest, 4] < min_score)
        stay = int(kept.sum())
        # the gaps before that place are filled from the end
        gaps = start + 1 + np.flatnonzero(~kept[:stay])
        fillers = start + 1 + stay + np.flatnonzero(kept[stay:])[::-1]
        for column in (table, areas, order):
            column[gaps] = column[fillers]
        start, size = start + 1, start + 1 + stay
    dets[:size].copy_(torch.from_numpy(table[:size]))
    return torch.from_numpy(order[:size])


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices: a box that NMS keeps, best first, and those that it removes with it.

    Args:
        dets: (N, 5) on the CPU as x1, y1, x2, y2, score.
        iou_threshold: Boxes that overlap a kept one by this much or more join its group.
    """
    table = wide(dets)[0].numpy()
    areas = _areas(table)
    left = np.argsort(-table[:, 4], kind='stable')
    groups = []
    while len(left):
        best, left = left[0], left[1:]
        overlaps = _overlaps(table[best], areas[best], table[left], areas[left])
        joins = overlaps >= iou_threshold
        groups.append([int(best), *left[joins].tolist()])
        left = left[~joins]
    return groups


def _areas(table: np.ndarray, offset: int = 0) -> np.ndarray:
    return (table[:, 2] - table[:, 0] + offset) * (table[:, 3] - table[:, 1] + offset)


def _overlaps(
    box: np.ndarray, area: float, others: np.ndarray, areas: np.ndarray, offset: int = 0
) -> np.ndarray:
    """Intersection over union of ``box`` with each row of ``others``; 0 where both are empty."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0]) + offset
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1]) + offset
    intersection = width.clip(min=0) * height.clip(min=0)
    union = area + areas - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union != 0)


OPS = (nms, softnms, nms_match)
