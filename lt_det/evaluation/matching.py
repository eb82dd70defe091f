"""Greedy matching of detections to annotations, for all thresholds and areas at once.

The 4 area ranges times 10 IoU thresholds are the 40 low bits of one 64-bit word: bit
``area * 10 + threshold``. Every state that lvis-api keeps in an array (thresholds, detections) for
one area is such a word here, so that one step matches in all 40 settings with a few bit operations,
and handles one candidate of every (image, category) pair at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils

from .detections import Detections
from .ground_truth import LVISGroundTruth

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA_RANGES = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])
AREA_NAMES = ('all', 'small', 'medium', 'large')
NUM_THRESHOLDS = len(IOU_THRESHOLDS)
NUM_AREAS = len(AREA_NAMES)

AREA_UNIT = np.uint64(1) << (NUM_THRESHOLDS * np.arange(NUM_AREAS)).astype(np.uint64)
AREA_FIELD = AREA_UNIT * np.uint64(2**NUM_THRESHOLDS - 1)
_ALL = np.bitwise_or.reduce(AREA_FIELD)
# lvis-api lowers a threshold of 1 by 1e-10; the word of n passed thresholds sets n bits per area.
_PASS_LIMITS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
_PASSED = np.array(
    [AREA_UNIT.sum() * np.uint64(2**n - 1) for n in range(NUM_THRESHOLDS + 1)], dtype=np.uint64
)
_IOU_BLOCK = 1 << 18  # pairs of boxes compared at a time


@dataclass
class Matches:
    """Outcome of N detections that count, sorted by image, then category, then falling score.

    Attributes:
        image: (N,) int32 image numbers.
        category: (N,) int32 category numbers.
        score: (N,) float64.
        true: (N,) uint64, bit ``area * 10 + threshold`` set where the detection is a true positive.
        false: (N,) uint64, the same for false positives; neither bit is set where it is ignored.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    true: np.ndarray
    false: np.ndarray

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def concatenate(cls, parts: Sequence[Matches]) -> Matches:
        """Joins the outcomes of different images, given in any order."""
        if not parts:
            ids, words = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint64)
            return cls(ids, ids, np.zeros(0), words, words)
        names = ('image', 'category', 'score', 'true', 'false')
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
        if (np.diff(columns[0]) < 0).any():
            order = np.argsort(columns[0], kind='stable')
            columns = [column[order] for column in columns]
        return cls(*columns)


def within_limit(group: np.ndarray, score: np.ndarray, limit: int) -> np.ndarray:
    """Which detections are among the best of their group; the earlier one on equal scores.

    Args:
        group: (N,) group numbers, for example images.
        score: (N,) scores.
        limit: Number of detections kept per group; all where it is negative.

    Returns:
        (N,) bool.
    """
    keep = np.ones(len(score), dtype=bool)
    if limit < 0 or not len(score):
        return keep
    counts = np.bincount(group)
    if counts.max() <= limit:
        return keep
    rows = np.flatnonzero((counts > limit)[group])
    rows = rows[np.lexsort((-score[rows], group[rows]))]
    sizes = counts[counts > limit]
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    keep[rows[rank >= limit]] = False
    return keep


def match(truth: LVISGroundTruth, detections: Detections, max_dets: int = 300) -> Matches:
    """Matches the detections of some images; calls for different images are independent.

    Args:
        truth: Annotations, loaded with masks if the detections are masks.
        detections: All detections of the images they belong to.
        max_dets: The best so many of each image are scored, whatever their category; all if
            negative.

    Returns:
        The outcome of those that can be scored, as lvis-api finds it.
    """
    pair = truth.find_pairs(detections.image, detections.category)
    pair[~within_limit(detections.image, detections.score, max_dets)] = -1
    # lvis-api leaves out detections without an area, after the limit.
    rows = np.flatnonzero((pair >= 0) & (detections.area > 0) & (detections.area < np.inf))
    rows = rows[np.lexsort((-detections.score[rows], pair[rows]))]
    pair = pair[rows]

    outside = _outside(detections.area[rows])
    outside[truth.pair_open[pair]] = _ALL
    matched = np.zeros(len(rows), dtype=np.uint64)
    ignored = np.zeros(len(rows), dtype=np.uint64)
    candidates = _candidates(truth, detections, rows, pair)
    _assign(truth, *candidates, matched=matched, ignored=ignored)
    ignored |= ~matched & outside
    return Matches(
        image=detections.image[rows],
        category=detections.category[rows],
        score=detections.score[rows],
        true=matched & ~ignored,
        false=~matched & ~ignored & _ALL,
    )


def count_annotations(truth: LVISGroundTruth, images: np.ndarray | None = None) -> np.ndarray:
    """Numbers of annotations that count.

    Args:
        truth: Annotations.
        images: (I,) bool, images to count in; all by default.

    Returns:
        (K, 4) int64, by category and area range.
    """
    image, category = np.divmod(truth.pair_keys[truth.pair], max(truth.num_categories, 1))
    used = ~truth.ignore if images is None else ~truth.ignore & images[image]
    inside = (_outside(truth.areas)[:, None] & AREA_UNIT == 0) & used[:, None]
    return np.stack(
        [np.bincount(category[c], minlength=truth.num_categories) for c in inside.T], axis=1
    )


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


def _outside(areas: np.ndarray) -> np.ndarray:
    """Words with the bits of the ranges in which an area does not lie."""
    words = np.zeros(len(areas), dtype=np.uint64)
    for (low, high), field in zip(AREA_RANGES, AREA_FIELD):
        words[(areas < low) | (areas > high)] |= field
    return words


def _candidates(
    truth: LVISGroundTruth, detections: Detections, rows: np.ndarray, pair: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, annotation and IoU of all that overlap by at least the lowest threshold."""
    first = truth.pair_starts[pair]
    num_annotations = truth.pair_starts[pair + 1] - first
    compared = np.flatnonzero(num_annotations)
    if detections.segmentations is not None:
        blocks = _mask_blocks(truth, detections, rows, pair, compared)
    else:
        blocks = _box_blocks(truth, detections, rows, first, num_annotations, compared)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for row, annotation, iou in blocks:
        close = iou >= _PASS_LIMITS[0]
        found.append((row[close], annotation[close], iou[close]))
    row, annotation, iou = (np.concatenate(parts) for parts in zip(*found))
    return row, annotation, iou


def _box_blocks(truth, detections, rows, first, num_annotations, compared):
    ends = np.cumsum(num_annotations[compared])
    start = 0
    while start < len(compared):
        done = ends[start - 1] if start else 0
        stop = max(np.searchsorted(ends, done + _IOU_BLOCK, side='right'), start + 1)
        block = compared[start:stop]
        sizes = num_annotations[block]
        row = np.repeat(block, sizes)
        annotation = np.arange(len(row)) + np.repeat(
            first[block] - (np.cumsum(sizes) - sizes), sizes
        )
        yield row, annotation, box_iou(detections.boxes[rows[row]], truth.boxes[annotation])
        start = stop


def _mask_blocks(truth, detections, rows, pair, compared):
    """One block a pair; pycocotools compares the boxes of masks before the masks."""
    starts = np.flatnonzero(np.diff(pair[compared], prepend=-1))
    for begin, end in zip(starts, np.append(starts[1:], len(compared))):
        block = compared[begin:end]
        annotations = np.arange(*truth.pair_starts[pair[block[0]] : pair[block[0]] + 2])
        ious = mask_utils.iou(
            [detections.segmentations[i] for i in rows[block]],
            [truth.rle(i) for i in annotations],
            [0] * len(annotations),
        )
        yield (
            np.repeat(block, len(annotations)),
            np.tile(annotations, len(block)),
            np.asarray(ious).ravel(),
        )


def _assign(
    truth: LVISGroundTruth,
    row: np.ndarray,
    annotation: np.ndarray,
    iou: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray,
) -> None:
    """Gives each row, in order, the best annotation that is left, in all 40 settings.

    lvis-api prefers annotations that are not ignored, then the highest IoU, then the last in order.
    So the candidates of a row are tried in that order, each twice: in the settings where the
    annotation counts, and after all of those, where it is ignored.

    Args:
        truth: Annotations.
        row: (E,) row of each candidate.
        annotation: (E,) annotation of each candidate.
        iou: (E,) at least the lowest threshold.
        matched: (N,) uint64, gets the settings in which a row is matched.
        ignored: (N,) uint64, gets the settings in which it is matched to an ignored annotation.
    """
    if not len(row):
        return
    passed = _PASSED[np.searchsorted(_PASS_LIMITS, iou, side='right')]
    gt_ignored = _outside(truth.areas[annotation])
    gt_ignored[truth.ignore[annotation]] = _ALL
    words = np.concatenate([passed & ~gt_ignored, passed & gt_ignored])
    late = np.repeat([False, True], len(row))
    order = np.lexsort((-np.tile(annotation, 2), -np.tile(iou, 2), late, np.tile(row, 2)))
    order = order[words[order] != 0]
    words = words[order]
    late = late[order]
    row, annotation = np.tile(row, 2)[order], np.tile(annotation, 2)[order]

    pair = truth.pair[annotation]
    begins = np.flatnonzero(np.diff(pair, prepend=-1))
    step = np.arange(len(pair)) - np.repeat(begins, np.diff(np.append(begins, len(pair))))
    by_step = np.argsort(step, kind='stable')
    ends = np.cumsum(np.bincount(step))
    local_row, num_rows = _renumber(row)
    local_gt, num_gts = _renumber(annotation)
    row_taken = np.zeros(num_rows, dtype=np.uint64)
    gt_taken = np.zeros(num_gts, dtype=np.uint64)
    words, local_row, local_gt = words[by_step], local_row[by_step], local_gt[by_step]
    taken = np.empty_like(words)
    begin = 0
    for end in ends:
        r, g = local_row[begin:end], local_gt[begin:end]
        take = words[begin:end] & ~(row_taken[r] | gt_taken[g])
        row_taken[r] |= take
        gt_taken[g] |= take
        taken[begin:end] = take
        begin = end

    words[by_step] = taken
    first = np.flatnonzero(np.diff(row, prepend=-1))
    # lvis-api cannot tell a match with annotation id 0 from none.
    counted = np.where(truth.ids[annotation] == 0, np.uint64(0), words)
    matched[row[first]] = np.bitwise_or.reduceat(counted, first)
    ignored[row[first]] = np.bitwise_or.reduceat(np.where(late, words, np.uint64(0)), first)


def _renumber(values: np.ndarray) -> tuple[np.ndarray, int]:
    unique, numbers = np.unique(values, return_inverse=True)
    return numbers, len(unique)
