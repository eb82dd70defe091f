"""Any loss with a weight per class, from the effective number of samples; from an epoch on."""

from __future__ import annotations

import numpy as np
import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...frequency import ClassFrequency
from ...frequency_module import without_statistics
from ...protocols import TakesClassFrequency
from ...values import check_values
from ..precision import widen


def effective_number_weights(counts: np.ndarray, beta: float) -> np.ndarray:
    """``(1 - beta) / (1 - beta ** n_c)``, scaled to sum C (Cui et al., arXiv 1901.05555, eq. 5).

    Args:
        counts: n_c (C,); a class without images counts as one with a single image.
        beta: In [0, 1]: 0 gives every class the weight 1, 1 (the limit) the inverse frequency.

    Returns:
        (C,) float64.
    """
    counts = np.maximum(counts, 1).astype(np.float64)
    # expm1 and log: 1 - beta ** n loses all digits near beta = 1
    number = counts if beta == 1 else np.expm1(counts * np.log(beta)) if beta else -(counts**0)
    weight = 1 / np.abs(number)
    return weight * len(counts) / weight.sum()


@MODELS.register_module()
class ClassBalancedLoss(nn.Module):
    """Multiplies the loss of a sample by the weight of its class.

    With ``begin`` it is deferred re-weighting (Cao et al., arXiv 1906.07413, section 3.4). A soft
    target t (mixup, CutMix) becomes ``w_c t_c``, which is the mixture of the weighted losses for
    every loss that is linear in the target.

    Args:
        loss: Config of the loss to weight, any of MMPretrain that takes ``weight``.
        beta: See :func:`effective_number_weights`.
        begin: First epoch (from 0) in which the weights apply; ``ModuleEpochHook`` tells it.

    Raises:
        BadInputError: ``beta`` outside [0, 1].
    """

    def __init__(self, loss: dict, beta: float = 0.9999, begin: int = 0) -> None:
        super().__init__()
        check_values(
            'ClassBalancedLoss',
            beta=(beta, 'a number in [0, 1]'),
            begin=(begin, 'a whole number >= 0'),
        )
        self.loss = MODELS.build(loss)
        self.beta = beta
        self.begin = begin
        self.epoch = 0
        # no buffer: it comes late, and an average of the model (EMAHook) would hold another one
        self.class_weight: Tensor | None = None

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        weight = effective_number_weights(frequency.image_count, self.beta)
        self.class_weight = torch.from_numpy(weight).float()
        if isinstance(self.loss, TakesClassFrequency):
            self.loss.set_class_frequency(frequency)

    @property
    def needs_epoch(self) -> bool:
        """Whether it never begins where ``ModuleEpochHook`` is missing."""
        return self.begin > 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None, **kwargs):
        """Loss of ``logits`` (N, C) for labels (N,) or soft targets (N, C)."""
        if self.class_weight is None:
            raise without_statistics(self)
        if self.epoch < self.begin:
            return self.loss(logits, target, weight=weight, **kwargs)
        self.class_weight = self.class_weight.to(logits.device, non_blocking=True)  # moves once
        class_weight = self.class_weight.to(widen(logits).dtype)
        if target.ndim == 1:
            factor = class_weight[target]
        else:
            weighted = class_weight * target
            factor = weighted.sum(1)
            # without any label there is nothing to weigh: 0, not 0 / 0
            target = weighted / factor.clamp(min=torch.finfo(factor.dtype).tiny)[:, None]
        weight = factor if weight is None else weight * factor
        return self.loss(logits, target, weight=weight, **kwargs)
