"""The statistics of a data set in a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..frequency import LVIS_BOUNDS, SHOT_BOUNDS, ClassFrequency

OF_DETECTORS = ('rare', 'common', 'frequent')
OF_CLASSIFIERS = ('few-shot', 'medium-shot', 'many-shot')


def summarize_shots(frequency: ClassFrequency) -> str:
    """:func:`summarize` with the groups by which classifiers are measured."""
    few, medium = SHOT_BOUNDS
    return summarize(frequency, (few - 1, medium), OF_CLASSIFIERS)


def summarize(
    frequency: ClassFrequency,
    bounds: Sequence[int] = LVIS_BOUNDS,
    groups: Sequence[str] = OF_DETECTORS,
) -> str:
    """Instances, classes by group, and how much rarer the rarest is than the most frequent.

    Args:
        frequency: Of a training set.
        bounds: Most training images of a class of the first and of the second group.
        groups: Names of the three.
    """
    shown = frequency.image_count[frequency.image_count > 0]
    sizes = [*np.bincount(np.searchsorted(bounds, shown), minlength=3)]
    sizes.append(frequency.num_classes - len(shown))
    names = (*groups, 'without images')
    split = ', '.join(f'{size} {name}' for size, name in zip(sizes, names) if size)
    factor = f', imbalance {shown.max() / shown.min():.3g}' if len(shown) else ''
    return (
        f'{frequency.num_instances:,} instances of {frequency.num_classes:,} classes '
        f'({split}){factor}'
    )
