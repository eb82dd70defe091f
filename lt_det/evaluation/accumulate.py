"""Precision and recall from matches, at the points lvis-api samples and with its rounding."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .grouping import stable_argsort
from .matching import (
    AREA_FIELD,
    AREA_UNIT,
    NUM_AREAS,
    NUM_THRESHOLDS,
    Matches,
)

RECALL_POINTS = np.linspace(0.0, 1.0, 101)
_NUM_BITS = NUM_AREAS * NUM_THRESHOLDS


def accumulate(
    matches: Matches, num_annotations: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision at 101 recall points, and the recall reached, per category.

    T = 10 IoU thresholds, R = 101 recall points, K categories, P of which have an annotation that
    counts, A = 4 area ranges.

    Args:
        matches: Outcomes of all images, sorted by image.
        num_annotations: (K, A) numbers of annotations that count.

    Returns:
        (P,) int64 categories, precision (T, R, P, A) and recall (T, P, A); -1 where there is no
        annotation.
    """
    present = np.flatnonzero(num_annotations.any(axis=1))
    precision = np.full((NUM_THRESHOLDS, len(RECALL_POINTS), len(present), NUM_AREAS), -1.0)
    recall = np.full((NUM_THRESHOLDS, len(present), NUM_AREAS), -1.0)
    order = np.argsort(-matches.score, kind='stable')
    order = order[stable_argsort(matches.category[order])]
    sorted_category = matches.category[order]
    begins = np.searchsorted(sorted_category, present, side='left')
    ends = np.searchsorted(sorted_category, present, side='right')
    for p, (begin, end) in enumerate(zip(begins, ends)):
        rows = order[begin:end]
        best, hits = _precision_at_hits(matches.true[rows], matches.false[rows])
        totals = num_annotations[present[p]]
        for a in np.flatnonzero(totals):
            index = _first_reaching(int(totals[a]))
            fields = slice(a * NUM_THRESHOLDS, (a + 1) * NUM_THRESHOLDS)
            reached = np.zeros((NUM_THRESHOLDS, len(RECALL_POINTS)))
            inside = index < best.shape[1]
            reached[:, inside] = best[fields, index[inside]]
            precision[:, :, p, a] = reached
            recall[:, p, a] = hits[fields] / totals[a]
    return present, precision, recall


def spread(values: np.ndarray, present: np.ndarray, num_categories: int) -> np.ndarray:
    """Values (..., P, A) of some categories as (..., K, A) of all, -1 for the others."""
    everything = np.full((*values.shape[:-2], num_categories, values.shape[-1]), -1.0)
    everything[..., present, :] = values
    return everything


@lru_cache(maxsize=4096)
def _first_reaching(total: int) -> np.ndarray:
    """Number, from 0, of the true positive with which each recall point is reached."""
    hits = np.searchsorted(np.arange(total + 1) / total, RECALL_POINTS, side='left')
    return np.maximum(hits, 1) - 1


def _precision_at_hits(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best precision from each true positive on, for the detections of one category.

    Between two true positives precision only falls, and before the first it is 0: the highest
    precision from any point on is found at true positives.

    Args:
        true: (N,) uint64 words of falling score.
        false: (N,) uint64 words.

    Returns:
        (A * T, H) float64, for the 1st, 2nd ... true positive of each setting, 0 after the last;
        and (A * T,) numbers of true positives.
    """
    # A detection that overlaps nothing is the same at all thresholds: one flag an area will do.
    uniform = false & AREA_UNIT.sum()
    mixed = (true != 0) | (uniform * np.uint64(2**NUM_THRESHOLDS - 1) != false)
    rows = np.flatnonzero(mixed)
    flags = (uniform[:, None] & AREA_FIELD != 0) & ~mixed[:, None]
    false_before = np.repeat(np.cumsum(flags, axis=0)[rows], NUM_THRESHOLDS, axis=1)
    is_true = unpack_bits(true[rows])
    false_sum = np.cumsum(unpack_bits(false[rows]), axis=0, dtype=np.int64) + false_before
    true_sum = np.cumsum(is_true, axis=0, dtype=np.int64)
    hits = true_sum[-1] if len(rows) else np.zeros(_NUM_BITS, dtype=np.int64)

    best = np.zeros((_NUM_BITS, hits.max()))
    row, bit = np.nonzero(is_true)
    tp = true_sum[row, bit].astype(np.float64)
    fp = false_sum[row, bit].astype(np.float64)
    best[bit, true_sum[row, bit] - 1] = tp / (fp + tp + np.spacing(1))
    best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
    return best, hits


def unpack_bits(words: np.ndarray) -> np.ndarray:
    """(N, A * T) uint8 bits of words."""
    as_bytes = words.astype('<u8').view(np.uint8).reshape(-1, 8)
    return np.unpackbits(as_bytes, axis=1, count=_NUM_BITS, bitorder='little')
