"""IoU of detections and annotations, only where both are in the same image and category."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pycocotools import mask as mask_utils

from .boundary import boundary_rle
from .detections import Detections
from .ground_truth import LVISGroundTruth
from .grouping import runs

_BLOCK = 1 << 16  # pairs of boxes compared at a time


def box_iou(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """IoU of boxes row by row, in the order of operations of pycocotools, thus bit-equal to it.

    Args:
        boxes_a: (N, 4) float64 x, y, w, h.
        boxes_b: (N, 4) float64 x, y, w, h.

    Returns:
        (N,) float64.
    """
    ax, ay, aw, ah = boxes_a.T
    bx, by, bw, bh = boxes_b.T
    w = np.minimum(aw + ax, bw + bx) - np.maximum(ax, bx)
    h = np.minimum(ah + ay, bh + by) - np.maximum(ay, by)
    inner = w * h
    union = aw * ah + bw * bh - inner
    iou = np.zeros(len(inner))
    np.divide(inner, union, out=iou, where=(w > 0) & (h > 0))
    return iou


def candidates(
    truth: LVISGroundTruth, detections: Detections, pair: np.ndarray, lowest: float, boundary: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections and annotations of the same pair that overlap enough.

    Args:
        truth: Annotations.
        detections: Detections, sorted by pair.
        pair: (N,) int64 pair of each.
        lowest: The IoU from which an overlap counts.
        boundary: Whether masks must also agree on their boundaries.

    Returns:
        (E,) int64 detections, (E,) int64 annotations and (E,) float64 IoU, by detection, then
        annotation.
    """
    if detections.segmentations is None:
        blocks = _box_blocks(truth, detections, pair)
    else:
        blocks = _mask_blocks(truth, detections, pair, lowest, boundary)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for row, annotation, iou in blocks:
        close = np.flatnonzero(iou >= lowest)
        found.append((row[close], annotation[close], iou[close]))
    row, annotation, iou = (np.concatenate(parts) for parts in zip(*found))
    return row, annotation, iou


def _box_blocks(
    truth: LVISGroundTruth, detections: Detections, pair: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """IoU of each detection with all annotations of its pair, some detections at a time."""
    first = truth.pair_starts[pair]
    sizes = truth.pair_starts[pair + 1] - first
    compared = np.flatnonzero(sizes)
    ends = np.cumsum(sizes[compared])
    start = 0
    while start < len(compared):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + _BLOCK, side='right')), start + 1)
        block = compared[start:stop]
        row = np.repeat(block, sizes[block])
        offset = first[block] - (ends[start:stop] - sizes[block] - done)
        annotation = np.arange(len(row)) + np.repeat(offset, sizes[block])
        yield row, annotation, box_iou(detections.boxes[row], truth.boxes[annotation])
        start = stop


def _mask_blocks(
    truth: LVISGroundTruth, detections: Detections, pair: np.ndarray, lowest: float, boundary: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The same for masks, one pair at a time."""
    compared = np.flatnonzero(truth.pair_starts[pair + 1] > truth.pair_starts[pair])
    starts, sizes = runs(pair[compared])
    for begin, size in zip(starts.tolist(), sizes.tolist()):
        block = compared[begin : begin + size]
        annotations = np.arange(*truth.pair_starts[pair[block[0]] : pair[block[0]] + 2])
        masks = [detections.segmentations[i] for i in block]
        nobody = [0] * len(annotations)
        ious = mask_utils.iou(masks, [truth.rle(i) for i in annotations], nobody)
        close = np.flatnonzero((np.reshape(ious, (size, -1)) >= lowest).any(axis=1))
        if boundary and len(close):
            edges = [boundary_rle(masks[i]) for i in close]
            others = [truth.boundary(i) for i in annotations]
            ious[close] = np.minimum(ious[close], mask_utils.iou(edges, others, nobody))
        row = np.repeat(block, len(annotations))
        yield row, np.tile(annotations, size), np.asarray(ious).ravel()
