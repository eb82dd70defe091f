"""IIF: logits multiplied by the inverse image frequency of their class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..values import check_values, is_kind
from .base import LogitAdjustment, register_adjustment
from .counts import COUNTS, at_least_one, class_counts, warn_classes


def _smooth(n: np.ndarray, total: int) -> np.ndarray:
    return np.log((total + 1) / (n + 1)) + 1


def _normit(n: np.ndarray, total: int) -> np.ndarray:
    return -torch.special.ndtri(torch.from_numpy(n / total)).numpy()


# n (C,) counts, total N; p = n / N
LINKS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    'raw': lambda n, total: np.log(total / n),
    'smooth': _smooth,
    'rel': lambda n, total: np.log((total - n) / n),
    'normit': _normit,
    'gombit': lambda n, total: -np.log(-np.log1p(-n / total)),
    'base2': lambda n, total: np.log2(total / n),
    'base10': lambda n, total: np.log10(total / n),
}


@register_adjustment
class IIF(LogitAdjustment):
    """Inverse image frequency (Alexandridis et al., arXiv 2209.04861): ``z'_c = w_c z_c``.

    With ``p = n_c / N``: raw ``ln(1/p)``, smooth ``ln((N+1)/(n_c+1)) + 1``, rel ``ln((1-p)/p)``,
    normit ``-Phi^-1(p)``, gombit ``-ln(-ln(1-p))``, base2 and base10 ``log(1/p)``.

    A class without samples counts as one with a single sample (smooth is finite at 0 and is left
    alone). Weights below ``min_weight`` (rel and normit for p >= 1/2, gombit for p >= 1 - 1/e, raw
    for p near 1) are raised to it, since a weight <= 0 would turn the logit around. Both warn with
    the class names. The background weight is 1.

    Where the scores are independent sigmoids, almost all logits are negative, and a weight would
    push rare classes down. There the map is ``w_c (z_c - z_0) + z_0`` around the logit ``z_0`` of
    0.01 at which such classifiers start (ours): at the start nothing is shifted, and evidence of
    either sign counts more for rare classes. It has to be trained: at test alone it is refused.

    A cosine classifier bounds the logit of class c by ``w_c`` times its scale, and that of the
    background by the scale alone. ``norm='mean'`` (ours) divides the weights by their mean, so that
    the classes have the scale of the classifier on average, as the background does.

    Args:
        link: One of the seven above.
        count: ``'image'`` (N: training images) or ``'instance'`` (N: instances; "obj" in the
            paper's code).
        norm: q > 0 divides the weights by their q-norm, ``'mean'`` by their mean.
        min_weight: Floor of the weights, before ``norm``.

    Raises:
        BadInputError: A number or a word that is none of the above, or a rule for test alone on
            independent sigmoids.
    """

    def __init__(
        self,
        link: str = 'raw',
        count: str = 'image',
        norm: float | str | None = None,
        min_weight: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_values(
            'adjustment',
            link=(link, tuple(LINKS)),
            count=(count, COUNTS),
            min_weight=(min_weight, 'a finite number > 0'),
        )
        if norm not in (None, 'mean', math.inf) and not is_kind(norm, 'a number > 0'):
            raise BadInputError(
                f"adjustment.norm is {norm!r}, expected a number > 0, 'mean' or None"
            )
        if self.activation == 'sigmoid' and self.stage == 'test':
            raise BadInputError(
                "adjustment.stage of IIF is 'test', but the scores are independent sigmoids, whose "
                'order within a class no weight changes while it pushes the negative logits of '
                "rare classes down; expected 'both' or 'train', or dict(type='PriorShift', "
                "stage='test')"
            )
        self.link = link
        self.count = count
        self.norm = norm
        self.min_weight = min_weight

    @property
    def scales_in_training(self) -> bool:
        return self.stage != 'test'

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        n, total = class_counts(frequency, self.count)
        if self.link != 'smooth':
            n = at_least_one(n, frequency)
        with np.errstate(divide='ignore'):  # p = 1 is -inf, raised to the floor below
            weight = LINKS[self.link](n, max(total, 1))
        low = np.flatnonzero(weight < self.min_weight)
        if len(low):
            warn_classes(
                frequency, low, f'have a weight of IIF below {self.min_weight}, which is used'
            )
            weight = np.maximum(weight, self.min_weight)
        if self.norm == 'mean':
            weight = weight / weight.mean()
        elif self.norm is not None:
            weight = weight / np.linalg.norm(weight, float(self.norm))
        return weight, self.pivot * (1 - weight)

    def extra_repr(self) -> str:
        return f'link={self.link}, count={self.count}, norm={self.norm}, stage={self.stage}'
