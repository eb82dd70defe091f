"""Additive correction by the class prior: logit adjustment and balanced softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..values import check_values
from .base import LogitAdjustment, register_adjustment
from .counts import COUNTS, at_least_one, class_counts


@register_adjustment
class PriorShift(LogitAdjustment):
    """``z + tau ln pi`` in training, or ``z - tau ln pi`` at test, with ``pi_c = n_c / sum n``.

    At test it is post-hoc logit adjustment (Menon et al., arXiv 2007.07314); in training it is the
    logit-adjusted loss of that paper, for tau 1 balanced softmax (Ren et al., arXiv 2007.10740).
    The prior is one over the foreground classes; the background is left alone. A class without
    samples counts as one with a single sample, with a warning.

    Where the scores are independent sigmoids, each class is a question of its own. By Bayes' rule
    the logit of its answer is that of even odds plus ``logit pi_c``, so the shift is::

        tau (logit pi_c - k),   k = sum_c n_c logit pi_c / sum_c n_c

    With ``k`` the samples of a training set are not shifted on average: it changes no order of
    classes, keeps frequent ones where they start, and float32 sigmoids from saturating (``k`` is
    ours; balanced binary cross-entropy as in Xu et al., arXiv 2212.02015). At test a shift alone
    never changes the order within a class, only which classes are among the best of an image.

    Args:
        tau: Strength, finite; 1 is the Bayes-consistent choice.
        count: ``'image'`` or ``'instance'``.
        stage: ``'train'`` or ``'test'``; it decides the sign, so ``'both'`` is refused.

    Raises:
        BadInputError: ``tau`` is no finite number, ``count`` is unknown, or ``stage`` is
            ``'both'``.
    """

    multiplies = False

    def __init__(
        self, tau: float = 1.0, count: str = 'image', stage: str = 'train', **kwargs: Any
    ) -> None:
        super().__init__(stage=stage, **kwargs)
        if stage == 'both':
            raise BadInputError(
                "adjustment.stage of PriorShift is 'both', expected 'train' (balanced softmax) or "
                "'test' (logit adjustment)"
            )
        check_values('adjustment', tau=(tau, 'a finite number'), count=(count, COUNTS))
        self.tau = tau
        self.count = count

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        n = at_least_one(class_counts(frequency, self.count)[0], frequency)
        sign = 1 if self.stage == 'train' else -1
        shift = sign * self.tau * self._log_prior(n)
        return np.ones_like(shift), shift

    def _log_prior(self, n: np.ndarray) -> np.ndarray:
        if self.activation == 'softmax':
            return np.log(n / n.sum())
        # a lone class has no others: as if there was one more sample
        logit = np.log(n) - np.log(np.maximum(n.sum() - n, 1))
        return logit - (n * logit).sum() / n.sum()

    def extra_repr(self) -> str:
        return f'tau={self.tau}, count={self.count}, stage={self.stage}'
