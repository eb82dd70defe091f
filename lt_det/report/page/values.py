"""Numbers as a page holds them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...evaluation.diagnosis.comparison import interval_of


def known(metrics: Mapping, key: str) -> float | None:
    """A number of ``metrics.json``; None where it is not there, or -1: nothing to judge."""
    value = metrics.get(key)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < float('inf') else None


def plain(values: np.ndarray) -> list[float | None]:
    """Floats for a json, None for NaN."""
    return [None if value != value else value for value in values.tolist()]


def centred_interval(means: np.ndarray) -> list[float] | None:
    """The 95% interval of a metric from its resamples.

    AP of resamples is higher on average than that of all images, for an image that is drawn twice
    is found or missed twice. The interval between the percentiles is moved by that difference.

    Args:
        means: (1 + R,) the value of all images, then of each resample.
    """
    resampled = means[1:][~np.isnan(means[1:])]
    if not len(resampled):
        return None
    ends = np.array(interval_of(resampled)) - resampled.mean() + means[0]
    return ends.clip(0, 1).tolist()
