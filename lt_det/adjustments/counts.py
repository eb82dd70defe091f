"""Which count a rule reads, and what a class without any gets."""

from __future__ import annotations

import warnings

import numpy as np

from ..errors import listed
from ..frequency import ClassFrequency

COUNTS = ('image', 'instance')


def class_counts(frequency: ClassFrequency, count: str) -> tuple[np.ndarray, int]:
    """Counts (C,) in float64 and the total N that belongs to them."""
    if count == 'image':
        return frequency.image_count.astype(np.float64), frequency.num_images
    return frequency.instance_count.astype(np.float64), frequency.num_instances


def at_least_one(counts: np.ndarray, frequency: ClassFrequency) -> np.ndarray:
    """``counts`` with 0 replaced by 1 for rules that are infinite at 0; warns with the names."""
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        warn_classes(frequency, empty, 'have no training sample and are treated as if they had one')
    return np.maximum(counts, 1)


def warn_classes(frequency: ClassFrequency, labels: np.ndarray, what: str) -> None:
    known = frequency.class_names
    names = [label if known is None else known[label] for label in labels.tolist()]
    total = f' ({len(names)} in all)' if len(names) > 10 else ''
    warnings.warn(f'classes {listed(names, 10)}{total} {what}', stacklevel=2)
