"""Temperature: all logits divided by one number, the background included."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..values import check_values
from .base import LogitAdjustment, register_adjustment


@register_adjustment
class Temperature(LogitAdjustment):
    """``z / T`` of all channels, background included (Guo et al., arXiv 1706.04599).

    Above 1 the softmax becomes flatter, below 1 sharper. The order of the classes of one box stays
    as it is, that of one class over all boxes does not: it is a rule for detectors, alone or after
    one that shifts. It reads no statistics.

    Args:
        temperature: T > 0.
        stage: The method is post-hoc, hence ``'test'``.

    Raises:
        BadInputError: ``temperature`` is no number > 0, or scores are independent sigmoids, of
            which it changes no order.
    """

    optional = True

    def __init__(self, temperature: float, stage: str = 'test', **kwargs: Any) -> None:
        super().__init__(stage=stage, **kwargs)
        if self.activation == 'sigmoid':
            raise BadInputError(
                "adjustment.type is 'Temperature', but the scores are independent sigmoids, whose "
                'order no division of all logits by one number changes; expected a rule that '
                "treats classes differently, as dict(type='PriorShift', stage='test')"
            )
        check_values('adjustment', temperature=(temperature, 'a finite number > 0'))
        self.temperature = temperature
        self._fill()

    @property
    def ready(self) -> bool:
        return True

    @property
    def scales_in_training(self) -> bool:
        return self.stage != 'test'

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        shift = np.zeros(len(self.scale))
        return np.full_like(shift, 1 / self.temperature), shift

    @torch.no_grad()
    def _fill(self) -> None:
        self.scale.fill_(1 / self.temperature)
        self.shift.zero_()

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._fill()  # without statistics the checkpoint's would stay

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, stage={self.stage}'
