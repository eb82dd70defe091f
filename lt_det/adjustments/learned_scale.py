"""LWS: a factor per class, learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..frequency_module import FrequencyModule
from .base import LogitAdjustment, register_adjustment


@register_adjustment
class LearnedScale(LogitAdjustment):
    """``f_c z_c`` with ``f_c`` learned from 1: learnable weight scaling (Kang et al. 1910.09217).

    The paper trains ``f`` alone, with class-balanced sampling, on a frozen network (section 4.3).
    Independent sigmoids are scaled around the logit at which they start (``pivot``).

    Args:
        stage: ``'both'`` or ``'train'``; at test alone there would be nothing learned.

    Raises:
        BadInputError: Another stage.
    """

    data_buffers = (*FrequencyModule.data_buffers, 'factor', 'shift')

    def __init__(self, stage: str = 'both', **kwargs: Any) -> None:
        super().__init__(stage=stage, **kwargs)
        if stage == 'test':
            raise BadInputError(
                "adjustment.stage of LearnedScale is 'test', expected 'both' or 'train'"
            )
        # under another name than the scales of other rules, which a checkpoint may hold
        del self._buffers['scale']
        self.factor = nn.Parameter(torch.ones_like(self.shift))

    @property
    def scale(self) -> Tensor:  # type: ignore[override]  # a buffer of other rules
        return self.factor

    @property
    def ready(self) -> bool:
        return True

    @property
    def scales_in_training(self) -> bool:
        return True

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        scale = self.scale.detach().double().cpu().numpy()
        return scale, np.zeros_like(scale)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        return self.scale, self.pivot * (1 - self.scale)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if state_dict.pop(prefix + 'scale', None) is not None:
            state_dict[prefix + 'factor'] = torch.ones_like(self.factor)
            state_dict[prefix + 'shift'] = torch.zeros_like(self.shift)
            self._warn_of_other_rule(prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f'stage={self.stage}'
