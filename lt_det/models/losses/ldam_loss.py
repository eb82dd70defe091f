"""LDAM: a larger margin for rarer classes, before any loss."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS as DETECTION_MODELS
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import BadInputError
from ...frequency import ClassFrequency
from ...frequency_module import without_statistics
from ...protocols import TakesClassFrequency
from ...values import check_values
from ..precision import widen
from .sigmoid_head import is_label


@DETECTION_MODELS.register_module()
@MODELS.register_module()
class LDAMLoss(nn.Module):
    """Lowers the logit of the target by ``scale * m_c`` (Cao et al., arXiv 1906.07413, eq. 13).

    ``m_c = max_margin * (n_c / min_j n_j) ** (-1/4)``: the rarest class gets ``max_margin``. The
    logits come from a cosine classifier with the same scale, so the margin is one of the cosine. A
    soft target t lowers class c by ``scale * m_c * t_c``.

    In a RoI head the logit behind those of the classes is that of the background, which has margin
    0 (ours; the paper is about classifiers): it is the most frequent class by far, and where its
    count grows without bound the formula gives it none.

    Args:
        loss: Config of the loss behind the margin, one of the softmax of all logits. Default:
            CrossEntropyLoss, of MMDetection in detectors and of MMPretrain in classifiers.
        max_margin: Largest margin, in units of the cosine.
        scale: Scale s of the cosine classifier.
        num_classes: C; heads fill it in. None: that of the class statistics.

    Raises:
        BadInputError: The statistics have another number of classes, or the logits have.
    """

    def __init__(
        self,
        loss: dict | None = None,
        max_margin: float = 0.5,
        scale: float = 30.0,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        check_values(
            'loss',
            max_margin=(max_margin, 'a number >= 0'),
            scale=(scale, 'a number > 0'),
            num_classes=(num_classes, 'a whole number >= 1, or None'),
        )
        self.num_classes = num_classes
        self.loss = MODELS.build(loss or dict(type='CrossEntropyLoss'))
        self.max_margin = max_margin
        self.scale = scale
        # no buffer: it comes late, and an average of the model (EMAHook) would hold another one
        self.margin: Tensor | None = None

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        if self.num_classes not in (None, frequency.num_classes):
            raise BadInputError(
                f'LDAMLoss is built for num_classes={self.num_classes}, the data set has '
                f'{frequency.num_classes} classes'
            )
        counts = torch.from_numpy(frequency.image_count).double()
        rarest = counts[counts > 0].min()  # a class without images is as rare as the rarest
        self.margin = (self.max_margin * (counts / rarest).clamp(min=1) ** -0.25).float()
        if isinstance(self.loss, TakesClassFrequency):
            self.loss.set_class_frequency(frequency)

    def forward(
        self, logits: Tensor, target: Tensor, weight: Tensor | None = None, **kwargs
    ) -> Tensor:
        """Loss of logits, as the loss behind the margin gives it.

        Args:
            logits: (N, C), or (N, C + 1) with the background behind.
            target: Labels (N,), C for the background, or soft targets of the shape of the logits.
            weight: (N,). Default: ones.
            **kwargs: As ``avg_factor``, for the loss behind the margin.
        """
        if self.margin is None:
            raise without_statistics(self)
        self.margin = self.margin.to(logits.device, non_blocking=True)  # moves once
        behind = logits.shape[1] - len(self.margin)
        if behind not in (0, 1):
            raise BadInputError(
                f'LDAMLoss has the counts of {len(self.margin)} classes, but the head gives it '
                f'{logits.shape[1]} logits; expected as many, or one more for the background'
            )
        logits = widen(logits)
        lowered = F.pad(self.scale * self.margin, (0, behind)).to(logits.dtype)
        if target.ndim == 1:
            lowered = torch.where(is_label(target, logits.shape[1]), lowered, 0)
        else:
            lowered = lowered * target
        return self.loss(logits - lowered, target, weight=weight, **kwargs)
