"""Greedy matching of detections to annotations, for all thresholds and areas at once.

The 4 area ranges times 10 IoU thresholds are the 40 low bits of one 64-bit word: bit
``area * 10 + threshold``. Every state that lvis-api keeps in an array (thresholds, detections) for
one area is such a word here, so that one step matches in all 40 settings with a few bit operations,
and handles one candidate of every (image, category) pair at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .detections import Detections
from .ground_truth import LVISGroundTruth
from .grouping import runs, stable_argsort, within_limit
from .overlaps import candidates
from .parallel import fork_map

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
_CHUNK = 1 << 17  # boxes matched at a time
_MASK_CHUNK = 1 << 13  # masks matched at a time


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

    def take(self, rows: np.ndarray) -> Matches:
        """The outcomes with the given numbers, (M,) int64, or a (N,) bool of those to keep."""
        columns = (self.image, self.category, self.score, self.true, self.false)
        return Matches(*(column[rows] for column in columns))

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


def match(
    truth: LVISGroundTruth,
    detections: Detections,
    max_dets: int = 300,
    keep_all: bool = False,
    boundary: bool = False,
    num_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Matches:
    """Matches the detections of some images; calls for different images are independent.

    Args:
        truth: Annotations, loaded with masks if the detections are masks.
        detections: All detections of the images they belong to.
        max_dets: The best so many of each image are scored, whatever their category; all if
            negative.
        keep_all: Whether to return those that cannot be scored too, with no bit set.
        boundary: Whether masks must also agree on their boundaries.
        num_workers: Number of processes that share the images.
        progress: Called with the numbers of detections that are done and that there are.

    Returns:
        The outcome of those that can be scored, as lvis-api finds it.
    """
    order = stable_argsort(detections.image)
    images = detections.image[order]
    size = _CHUNK if detections.segmentations is None else _MASK_CHUNK
    bounds = [0]
    while bounds[-1] < len(order):
        last = images[min(bounds[-1] + size, len(order)) - 1]
        bounds.append(int(np.searchsorted(images, last, side='right')))

    def match_chunk(bound: tuple[int, int]) -> Matches:
        chunk = detections.take(order[slice(*bound)])
        return _match_chunk(truth, chunk, max_dets, keep_all, boundary)

    parts = []
    for part in fork_map(match_chunk, pairwise(bounds), num_workers):
        parts.append(part)
        if progress is not None:
            progress(bounds[len(parts)], len(order))
    return Matches.concatenate(parts)


def _match_chunk(
    truth: LVISGroundTruth, detections: Detections, max_dets: int, keep_all: bool, boundary: bool
) -> Matches:
    pair = truth.find_pairs(detections.image, detections.category)
    pair[~within_limit(detections.image, detections.score, max_dets)] = -1
    # lvis-api leaves out detections without an area, after the limit.
    rows = np.flatnonzero((pair >= 0) & (detections.area > 0) & (detections.area < np.inf))
    rows = rows[np.lexsort((-detections.score[rows], pair[rows]))]
    scored, pair = detections.take(rows), pair[rows]

    outside = _outside(scored.area)
    outside[truth.pair_open[pair]] = _ALL
    matched = np.zeros(len(rows), dtype=np.uint64)
    ignored = np.zeros(len(rows), dtype=np.uint64)
    overlaps = candidates(truth, scored, pair, _PASS_LIMITS[0], boundary)
    _assign(truth, *overlaps, matched=matched, ignored=ignored)
    ignored |= ~matched & outside
    matches = Matches(
        image=scored.image,
        category=scored.category,
        score=scored.score,
        true=matched & ~ignored,
        false=~matched & ~ignored & _ALL,
    )
    return _with_unscored(matches, detections, rows) if keep_all else matches


def _with_unscored(matches: Matches, detections: Detections, rows: np.ndarray) -> Matches:
    words = np.zeros((2, len(detections)), dtype=np.uint64)
    words[:, rows] = matches.true, matches.false
    order = np.lexsort((-detections.score, detections.category, detections.image))
    columns = (detections.image, detections.category, detections.score, *words)
    return Matches(*(column[order] for column in columns))


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


def _outside(areas: np.ndarray) -> np.ndarray:
    """Words with the bits of the ranges in which an area does not lie."""
    words = np.zeros(len(areas), dtype=np.uint64)
    for (low, high), field in zip(AREA_RANGES, AREA_FIELD):
        words[(areas < low) | (areas > high)] |= field
    return words


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
    starts, sizes = runs(row)
    place = np.arange(len(row)) + np.repeat(starts, sizes)
    turns = np.zeros(2 * len(row), dtype=np.uint64)
    source = np.empty(2 * len(row), dtype=np.int64)
    source[place] = source[place + np.repeat(sizes, sizes)] = np.arange(len(row))
    single = np.repeat(sizes == 1, sizes)
    turns[place] = passed & np.where(single, _ALL, ~gt_ignored)
    turns[place + np.repeat(sizes, sizes)] = passed & np.where(single, np.uint64(0), gt_ignored)
    used = np.flatnonzero(turns)
    turns, source = turns[used], source[used]

    starts, sizes = runs(truth.pair[annotation[source]])
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
    starts, _ = runs(row[source])
    ignored[row[source[starts]]] = np.bitwise_or.reduceat(turns & gt_ignored[source], starts)
    # lvis-api cannot tell a match with annotation id 0 from none.
    lost = np.flatnonzero(truth.ids[annotation[source]] == 0)
    np.bitwise_and.at(matched, row[source[lost]], ~turns[lost])
