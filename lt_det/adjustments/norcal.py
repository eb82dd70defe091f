"""NorCal: foreground probabilities divided by a power of the class count."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..values import check_values
from .base import LogitAdjustment, register_adjustment
from .counts import COUNTS, at_least_one, class_counts


@register_adjustment
class NorCal(LogitAdjustment):
    """``z_c - gamma ln n_c`` on the foreground (Pan et al., arXiv 2107.02170).

    The softmax of it is the paper's calibration: foreground probabilities divided by
    ``n_c ** gamma``, the background untouched, all renormalised. A class without samples counts as
    one with a single sample, with a warning.

    Args:
        gamma: Strength, >= 0.
        count: ``'image'`` or ``'instance'``.
        stage: The method is post-hoc, hence ``'test'``.

    Raises:
        BadInputError: ``gamma`` is no number >= 0, ``count`` is unknown, or scores are independent
            sigmoids, which have no background.
    """

    needs_background = True
    multiplies = False

    def __init__(
        self, gamma: float, count: str = 'image', stage: str = 'test', **kwargs: Any
    ) -> None:
        super().__init__(stage=stage, **kwargs)
        if self.activation == 'sigmoid':
            raise BadInputError(
                "adjustment.type is 'NorCal', which shifts the foreground against the background "
                'of one softmax, but the scores here are independent sigmoids; expected '
                f"dict(type='PriorShift', tau={gamma}, stage='{stage}'), which shifts them alike"
            )
        check_values('adjustment', gamma=(gamma, 'a finite number >= 0'), count=(count, COUNTS))
        self.gamma = gamma
        self.count = count

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        n = at_least_one(class_counts(frequency, self.count)[0], frequency)
        shift = -self.gamma * np.log(n)
        return np.ones_like(shift), shift

    def extra_repr(self) -> str:
        return f'gamma={self.gamma}, count={self.count}, stage={self.stage}'
