"""tau-normalisation: class weights divided by a power of their norm, as a map of the logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..values import check_values
from .base import LogitAdjustment, register_adjustment


@register_adjustment
class TauNorm(LogitAdjustment):
    """``(z_c - b_c) / |w_c| ** tau`` (Kang et al., arXiv 1910.09217, section 4.3).

    The logits of a linear classifier with weights ``w_c / |w_c| ** tau`` and without bias, as the
    paper has it. It reads the classifier, not the counts: heads call :meth:`set_classifier` when
    they load weights and when they are switched to evaluation.

    Independent sigmoids keep the logit at which they start, which their bias holds and dropping it
    would take away: ``z_0 + (z_c - b_c) / |w_c| ** tau`` (ours).

    Args:
        tau: 0 leaves the weights alone, 1 gives all the norm 1.
        stage: ``'test'``, as the norms are those of a trained classifier.

    Raises:
        BadInputError: Another stage.
    """

    def __init__(self, tau: float = 1.0, stage: str = 'test', **kwargs: Any) -> None:
        super().__init__(stage=stage, **kwargs)
        if stage != 'test':
            raise BadInputError(f"adjustment.stage of TauNorm is '{stage}', expected 'test'")
        check_values('adjustment', tau=(tau, 'a finite number'))
        self.tau = tau
        self.has_classifier = False

    @property
    def ready(self) -> bool:
        return self.has_classifier

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        size = slice(self.num_classes)
        return self.scale[size].double().cpu().numpy(), self.shift[size].double().cpu().numpy()

    @torch.no_grad()
    def set_classifier(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Take the norms of a linear classifier: ``weight`` (C + num_extra, D) and its bias."""
        size = slice(self.num_classes)
        scale = weight[size].to(self.scale).norm(dim=1).clamp(min=1e-12) ** -self.tau
        self.scale[size] = scale
        self.shift[size] = self.pivot
        if bias is not None:
            self.shift[size] -= bias[size].to(scale) * scale
        self.has_classifier = True

    def extra_repr(self) -> str:
        return f'tau={self.tau}, stage={self.stage}'
