"""Greedy matching of detections to annotations, for all thresholds and areas at once.

The 4 area ranges times 10 IoU thresholds are the 40 low bits of one 64-bit word: bit
``area * 10 + threshold``. Every state that lvis-api keeps in an array (thresholds, detections) for
one area is such a word here, so that one step matches in all 40 settings with a few bit operations,
and handles one candidate of every (image, category) pair at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

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
_CHUNK = 1 << 17  # detections matched at a time
_IOU_BLOCK = 1 << 16  # pairs of boxes compared at a time


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


def match(
    truth: LVISGroundTruth, detections: Detections, max_dets: int = 300, num_threads: int = 1
) -> Matches:
    """Matches the detections of some images; calls for different images are independent.

    Args:
        truth: Annotations, loaded with masks if the detections are masks.
        detections: All detections of the images they belong to.
        max_dets: The best so many of each image are scored, whatever their category; all if
            negative.
        num_threads: Number of threads that share the images.

    Returns:
        The outcome of those that can be scored, as lvis-api finds it.
    """
    order = stable_argsort(detections.image)
    images = detections.image[order]
    bounds = [0]
    while bounds[-1] < len(order):
        last = images[min(bounds[-1] + _CHUNK, len(order)) - 1]
        bounds.append(int(np.searchsorted(images, last, side='right')))
    chunks = [order[begin:end] for begin, end in pairwise(bounds)]

    def match_chunk(rows: np.ndarray) -> Matches:
        return _match_chunk(truth, detections.take(rows), max_dets)

    if num_threads <= 1 or len(chunks) <= 1:
        return Matches.concatenate([match_chunk(rows) for rows in chunks])
    with ThreadPoolExecutor(num_threads) as pool:
        return Matches.concatenate(list(pool.map(match_chunk, chunks)))


def _match_chunk(truth: LVISGroundTruth, detections: Detections, max_dets: int) -> Matches:
    pair = truth.find_pairs(detections.image, detections.category)
    pair[~within_limit(detections.image, detections.score, max_dets)] = -1
    # lvis-api leaves out detections without an area, after the limit.
    rows = np.flatnonzero((pair >= 0) & (detections.area > 0) & (detections.area < np.inf))
    rows = rows[np.lexsort((-detections.score[rows], pair[rows]))]
    detections, pair = detections.take(rows), pair[rows]

    outside = _outside(detections.area)
    outside[truth.pair_open[pair]] = _ALL
    matched = np.zeros(len(rows), dtype=np.uint64)
    ignored = np.zeros(len(rows), dtype=np.uint64)
    _assign(truth, *_candidates(truth, detections, pair), matched=matched, ignored=ignored)
    ignored |= ~matched & outside
    return Matches(
        image=detections.image,
        category=detections.category,
        score=detections.score,
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
    truth: LVISGroundTruth, detections: Detections, pair: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detection, annotation and IoU of all that overlap by at least the lowest threshold."""
    blocks = _box_blocks if detections.segmentations is None else _mask_blocks
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for row, annotation, iou in blocks(truth, detections, pair):
        close = np.flatnonzero(iou >= _PASS_LIMITS[0])
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
        stop = max(int(np.searchsorted(ends, done + _IOU_BLOCK, side='right')), start + 1)
        block = compared[start:stop]
        row = np.repeat(block, sizes[block])
        offset = first[block] - (ends[start:stop] - sizes[block] - done)
        annotation = np.arange(len(row)) + np.repeat(offset, sizes[block])
        yield row, annotation, box_iou(detections.boxes[row], truth.boxes[annotation])
        start = stop


def _mask_blocks(
    truth: LVISGroundTruth, detections: Detections, pair: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The same for masks, one pair at a time."""
    compared = np.flatnonzero(truth.pair_starts[pair + 1] > truth.pair_starts[pair])
    starts, sizes = _runs(pair[compared])
    for begin, size in zip(starts.tolist(), sizes.tolist()):
        block = compared[begin : begin + size]
        annotations = np.arange(*truth.pair_starts[pair[block[0]] : pair[block[0]] + 2])
        ious = mask_utils.iou(
            [detections.segmentations[i] for i in block],
            [truth.rle(i) for i in annotations],
            [0] * len(annotations),
        )
        row = np.repeat(block, len(annotations))
        yield row, np.tile(annotations, size), np.asarray(ious).ravel()


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
    So the candidates of a row are tried in that order: first all in the settings where the
    annotation counts, then all where it is ignored.

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
    # Reversed, so that the stable sort puts the last annotation of equal IoU first.
    order = np.lexsort((-iou[::-1], row[::-1]))
    row, annotation, iou = (column[::-1][order] for column in (row, annotation, iou))
    passed = _PASSED[np.searchsorted(_PASS_LIMITS, iou, side='right')]
    gt_ignored = _outside(truth.areas[annotation])
    gt_ignored[truth.ignore[annotation]] = _ALL

    # Rows with several candidates take two turns through them, other rows one.
    starts, sizes = _runs(row)
    place = np.arange(len(row)) + np.repeat(starts, sizes)
    turns = np.zeros(2 * len(row), dtype=np.uint64)
    source = np.empty(2 * len(row), dtype=np.int64)
    source[place] = source[place + np.repeat(sizes, sizes)] = np.arange(len(row))
    single = np.repeat(sizes == 1, sizes)
    turns[place] = passed & np.where(single, _ALL, ~gt_ignored)
    turns[place + np.repeat(sizes, sizes)] = passed & np.where(single, np.uint64(0), gt_ignored)
    used = np.flatnonzero(turns)
    turns, source = turns[used], source[used]

    starts, sizes = _runs(truth.pair[annotation[source]])
    step = np.arange(len(source)) - np.repeat(starts, sizes)
    by_step = stable_argsort(step)
    steps, rows, annotations = turns[by_step], row[source[by_step]], annotation[source[by_step]]
    local = annotations - annotation.min()
    free = np.full(local.max() + 1, _ALL)
    begin = 0
    for end in np.cumsum(np.bincount(step)):
        r, g = rows[begin:end], local[begin:end]
        take = steps[begin:end] & free[g] & ~matched[r]
        matched[r] |= take
        free[g] &= ~take
        steps[begin:end] = take
        begin = end

    turns[by_step] = steps
    starts, _ = _runs(row[source])
    ignored[row[source[starts]]] = np.bitwise_or.reduceat(turns & gt_ignored[source], starts)
    # lvis-api cannot tell a match with annotation id 0 from none.
    lost = np.flatnonzero(truth.ids[annotation[source]] == 0)
    np.bitwise_and.at(matched, row[source[lost]], ~turns[lost])


def stable_argsort(values: np.ndarray) -> np.ndarray:
    """Stable order of small non-negative integers; numpy sorts 16 bits in linear time."""
    if len(values) and values.max() < 2**16:
        values = values.astype(np.uint16)
    return np.argsort(values, kind='stable')


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of each run of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return starts, np.diff(np.append(starts, len(values)))
