"""LDAM: a larger margin for rarer classes, before any loss."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...frequency import ClassFrequency
from ...frequency_module import without_statistics
from ...protocols import TakesClassFrequency
from ..precision import widen
from .sigmoid_head import is_label


@MODELS.register_module()
class LDAMLoss(nn.Module):
    """Lowers the logit of the target by ``scale * m_c`` (Cao et al., arXiv 1906.07413, eq. 13).

    ``m_c = max_margin * (n_c / min_j n_j) ** (-1/4)``: the rarest class gets ``max_margin``. The
    logits come from a cosine classifier with the same scale, so the margin is one of the cosine. A
    soft target t lowers class c by ``scale * m_c * t_c``.

    Args:
        loss: Config of the loss behind the margin.
        max_margin: Largest margin, in units of the cosine.
        scale: Scale s of the cosine classifier.
    """

    def __init__(
        self, loss: dict | None = None, max_margin: float = 0.5, scale: float = 30.0
    ) -> None:
        super().__init__()
        self.loss = MODELS.build(loss or dict(type='CrossEntropyLoss'))
        self.max_margin = max_margin
        self.scale = scale
        # no buffer: it comes late, and an average of the model (EMAHook) would hold another one
        self.margin: Tensor | None = None

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        counts = torch.from_numpy(frequency.image_count).clamp(min=1).double()
        self.margin = (self.max_margin * (counts / counts.min()) ** -0.25).float()
        if isinstance(self.loss, TakesClassFrequency):
            self.loss.set_class_frequency(frequency)

    def forward(self, logits: Tensor, target: Tensor, **kwargs) -> Tensor:
        """Loss of ``logits`` (N, C) for labels (N,) or soft targets (N, C)."""
        if self.margin is None:
            raise without_statistics(self)
        self.margin = self.margin.to(logits.device)  # moves once, then it is there
        logits = widen(logits)
        lowered = (self.scale * self.margin).to(logits.dtype)
        if target.ndim == 1:
            lowered = torch.where(is_label(target, logits.shape[1]), lowered, 0)
        else:
            lowered = lowered * target
        return self.loss(logits - lowered, target, **kwargs)
