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
    shown = frequency.image_count[frequency.image_count > 0]
    sizes = [*np.bincount(np.searchsorted(bounds, shown), minlength=3)]
    sizes.append(frequency.num_classes - len(shown))
    names = ('rare', 'common', 'frequent', 'without images')
    groups = ', '.join(f'{size} {name}' for size, name in zip(sizes, names) if size)
    factor = f', imbalance {shown.max() / shown.min():.3g}' if len(shown) else ''
    return (
        f'{frequency.num_instances:,} instances of {frequency.num_classes:,} classes '
        f'({groups}){factor}'
    )
