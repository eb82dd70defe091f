"""Draws labels, rare classes more often than frequent ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...frequency import ClassFrequency
from ...frequency_module import FrequencyModule, without_statistics
from ...values import check_values


class MinorLabels(FrequencyModule):
    """Class k with probability ``q_k ~ n_k ** -power``, n_k its training images.

    The minor-biased sampling of SMCL (arXiv 2406.02223), after its stated principle; details ours.
    A class without a training image is never drawn.

    Args:
        num_classes: C.
        power: r >= 0; 0 draws all classes alike.

    Attributes:
        upper: Buffer (C,), the distribution function of q.

    Raises:
        BadInputError: ``power`` is negative: then frequent classes would be drawn more often.
    """

    def __init__(self, num_classes: int, power: float = 1.0) -> None:
        super().__init__(num_classes)
        check_values('model', minor_power=(power, 'a number >= 0'))
        self.power = power
        self.register_buffer('upper', torch.zeros(num_classes), persistent=False)

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        super().set_class_frequency(frequency)
        self.upper.copy_(torch.from_numpy(minor_probabilities(frequency, self.power).cumsum()))

    def forward(self, size: int) -> Tensor:
        """Labels (size,)."""
        if not self.has_frequency:
            raise without_statistics(self)
        # below the last value, so that rounding draws no class of probability 0
        uniform = torch.rand(size, device=self.upper.device) * self.upper[-1]
        return torch.searchsorted(self.upper, uniform, right=True).clamp(max=self.num_classes - 1)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.has_frequency:
            self.set_class_frequency(self.frequency)


def minor_probabilities(frequency: ClassFrequency, power: float) -> np.ndarray:
    """q (C,) in float64; 0 for a class without a training image."""
    count = frequency.image_count.astype(np.float64)
    weight = np.where(count > 0, np.maximum(count, 1) ** -power, 0)
    return weight / weight.sum()
