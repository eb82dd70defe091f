"""LWS: a factor per class, learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..frequency import ClassFrequency
from .base import LogitAdjustment, register_adjustment


@register_adjustment
class LearnedScale(LogitAdjustment):
    """``f_c z_c`` with ``f_c`` learned from 1: learnable weight scaling (Kang et al. 1910.09217).

    The paper trains ``f`` alone, with class-balanced sampling, on a frozen network (section 4.3).
    Independent sigmoids are scaled around the logit at which they start (``pivot``).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        ones = self.scale
        del self.scale
        self.scale = nn.Parameter(torch.ones_like(ones))

    @property
    def ready(self) -> bool:
        return True

    @property
    def scales_in_training(self) -> bool:
        return self.stage != 'test'

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        scale = self.scale.detach().double().cpu().numpy()
        return scale, np.zeros_like(scale)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        return self.scale, self.pivot * (1 - self.scale)

    def extra_repr(self) -> str:
        return f'stage={self.stage}'
