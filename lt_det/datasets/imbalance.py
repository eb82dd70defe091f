"""Which images a balanced training set keeps, so that it becomes long-tailed."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from ..values import is_kind

SHAPES = ('exp', 'step')


def long_tail_counts(most: int, num_classes: int, factor: float, shape: str = 'exp') -> np.ndarray:
    """Training images of each class, class 0 the most frequent.

    ``int(most * factor ** (-i / (C - 1)))`` for class i; ``'step'``: the first half of the classes
    keeps ``most``, the second has ``int(most / factor)`` (Cao et al., arXiv 1906.07413, section 4).

    Args:
        most: Images of the most frequent class.
        num_classes: C.
        factor: Imbalance factor, the most frequent over the rarest class, >= 1.
        shape: ``'exp'`` or ``'step'``.

    Returns:
        (C,) int64.

    Raises:
        BadInputError: ``factor`` below 1, or an unknown shape.
    """
    if not is_kind(factor, 'a number >= 1'):
        raise BadInputError(
            f'imbalance factor is {factor!r}, expected the count of the most frequent class over '
            'that of the rarest, a number >= 1'
        )
    if shape not in SHAPES:
        raise BadInputError(f"imbalance shape is '{shape}', expected one of {SHAPES}")
    if shape == 'step':
        rare = int(most / factor)
        return np.array([most if 2 * i < num_classes else rare for i in range(num_classes)])
    last = max(num_classes - 1, 1)
    return np.array([int(most * factor ** (-i / last)) for i in range(num_classes)])


def long_tail_subset(labels: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Indices of ``counts[c]`` items of each class c, drawn without replacement, ascending.

    Args:
        labels: (N,).
        counts: (C,), none above what the class has.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(labels == label), count, replace=False)
        for label, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(chosen))
