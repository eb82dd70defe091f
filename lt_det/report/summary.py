"""The statistics of a data set in a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..frequency import LVIS_BOUNDS, ClassFrequency


def summarize(frequency: ClassFrequency, bounds: Sequence[int] = LVIS_BOUNDS) -> str:
    """Instances, classes by group, and how much rarer the rarest is than the most frequent.

    Args:
        frequency: Of a training set.
        bounds: Most training images of a rare and of a common class.
    """
    count = frequency.image_count
    sizes = np.bincount(np.searchsorted(bounds, count), minlength=3)
    names = ('rare', 'common', 'frequent')
    groups = ', '.join(f'{size} {name}' for size, name in zip(sizes, names) if size)
    shown = count[count > 0]
    factor = f', imbalance {shown.max() / shown.min():.3g}' if len(shown) else ''
    return (
        f'{frequency.num_instances:,} instances of {frequency.num_classes:,} classes '
        f'({groups}){factor}'
    )
