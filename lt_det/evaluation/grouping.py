"""Sorting and grouping of columns."""

from __future__ import annotations

import numpy as np


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


def stable_argsort(values: np.ndarray) -> np.ndarray:
    """Stable order of small non-negative integers; numpy sorts 16 bits in linear time."""
    if len(values) and values.max() < 2**16:
        values = values.astype(np.uint16)
    return np.argsort(values, kind='stable')


def runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of each run of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return starts, np.diff(np.append(starts, len(values)))
