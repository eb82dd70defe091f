"""Accuracy by class and group, and calibration error, of a single-label classifier; numpy only.

Shapes: N images, C classes, M bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHOT_GROUPS = ('many', 'medium', 'few')


def class_accuracy(labels: np.ndarray, correct: np.ndarray, num_classes: int) -> np.ndarray:
    """Share of right predictions of each class, (C,); nan for a class without images.

    Args:
        labels: (N,) in 0..C-1.
        correct: (N,) boolean.
        num_classes: C.
    """
    total = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels, weights=correct, minlength=num_classes)
    with np.errstate(invalid='ignore'):
        return right / total


def group_means(values: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Mean of class values over many-, medium- and few-shot classes (Liu et al., arXiv 1904.05160).

    Args:
        values: (C,); nan is left out.
        groups: (C,) names of ``SHOT_GROUPS``.

    Returns:
        A mean by group; -1 for a group without a value.
    """
    means = {}
    for group in SHOT_GROUPS:
        chosen = values[(groups == group) & ~np.isnan(values)]
        means[group] = float(chosen.mean()) if len(chosen) else -1.0
    return means


@dataclass(frozen=True)
class Reliability:
    """Predictions by confidence.

    Attributes:
        count: Predictions in each bin, (M,).
        confidence: Their mean confidence, (M,), 0 in an empty bin.
        accuracy: Share of right ones, (M,), 0 in an empty bin.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al., arXiv 1706.04599, equation 3); -1 without data.

        ``sum_m count_m / N |accuracy_m - confidence_m|``.
        """
        if not self.count.sum():
            return -1.0
        gap = np.abs(self.accuracy - self.confidence)
        return float((self.count * gap).sum() / self.count.sum())


def reliability(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> Reliability:
    """Sort predictions into M bins ((m-1)/M, m/M] of confidence.

    Args:
        confidence: Probability of the predicted class, (N,) in 0..1.
        correct: (N,) boolean.
        num_bins: M.
    """
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    mean = [
        np.bincount(bins, weights=values, minlength=num_bins) / np.maximum(count, 1)
        for values in (confidence, correct)
    ]
    return Reliability(count, *mean)
