"""Seesaw loss with counts over all processes."""

from __future__ import annotations

import math

import torch
from mmdet.models.losses import SeesawLoss
from mmdet.models.losses.cross_entropy_loss import cross_entropy
from mmdet.registry import MODELS
from mmengine.dist import all_reduce
from torch import Tensor
from torch.nn import functional as F

from ...data_buffers import DataBuffers
from ...errors import BadInputError
from ...values import check_values
from ..precision import widen
from .class_count import other_class_count


@MODELS.register_module()
class LongTailSeesawLoss(DataBuffers, SeesawLoss):
    """MMDetection's ``SeesawLoss`` (Wang et al., arXiv 2008.10032), made right and fast.

    MMDetection counts the samples of each class on each process alone, so that the weights differ
    between them, in a Python loop that waits for the device at every label. Here the counts are
    sums over all processes, nothing waits, and memory is a fraction. In one process the loss and
    its gradients are those of MMDetection, up to rounding.

    Args:
        **kwargs: Those of ``SeesawLoss``.

    Raises:
        BadInputError: ``use_sigmoid=True``, or a number outside its range.
    """

    data_buffers = ('cum_samples',)

    def __init__(self, **kwargs) -> None:
        if kwargs.get('use_sigmoid'):
            raise BadInputError('loss_cls.use_sigmoid is True, but the Seesaw loss needs a softmax')
        super().__init__(**kwargs)
        check_values(
            'loss_cls',
            num_classes=(self.num_classes, 'a whole number >= 1'),
            p=(self.p, 'a number >= 0'),
            q=(self.q, 'a number >= 0'),
            eps=(self.eps, 'a number in (0, 1]'),
        )

    def get_cls_channels(self, num_classes: int) -> int:
        """Channels of the predictor: the classes, object and background.

        Raises:
            BadInputError: The loss is built for another number of classes.
        """
        if num_classes != self.num_classes:
            raise other_class_count(
                self.num_classes, num_classes, 'bbox_head', 'bbox_head.loss_cls'
            )
        return super().get_cls_channels(num_classes)

    def forward(
        self,
        cls_score: Tensor,
        labels: Tensor,
        label_weights: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Loss of logits (R, C + 2): C classes, then object and background.

        Args:
            cls_score: (R, C + 2).
            labels: (R,), C for background.
            label_weights: (R,). Default: ones.
            avg_factor: Divisor of the sums in place of the numbers of positives and of RoIs.
            reduction_override: ``'mean'``, ``'sum'`` or ``'none'`` (R,) in place of ``reduction``.

        Returns:
            ``loss_cls_classes`` and ``loss_cls_objectness``, or their sum without ``return_dict``.
        """
        reduction = reduction_override or self.reduction
        if label_weights is None:
            label_weights = torch.ones_like(labels, dtype=torch.float)
        with torch.no_grad():
            count = torch.zeros_like(self.cum_samples)
            count.index_add_(0, labels, torch.ones_like(labels, dtype=count.dtype))
            all_reduce(count)
            self.cum_samples += count

        class_logits, object_logits = self._split_cls_score(cls_score)
        positive = labels < self.num_classes
        own = labels.clamp(max=self.num_classes - 1)
        class_logits = widen(class_logits)
        weighted = self._log_weights(class_logits.detach(), own).add_(class_logits)
        per_roi = F.cross_entropy(weighted, own, reduction='none')
        # no indexing by positives, whose number the device would have to tell
        per_roi = torch.where(positive, per_roi * label_weights.float(), per_roi.new_zeros(()))
        if reduction == 'mean':
            divisor = positive.sum().clamp(min=1) if avg_factor is None else avg_factor
            loss_classes = per_roi.sum() / divisor
        else:
            loss_classes = per_roi.sum() if reduction == 'sum' else per_roi
        loss_objectness = cross_entropy(
            object_logits, (~positive).long(), label_weights.float(), reduction, avg_factor
        )
        losses = dict(
            loss_cls_objectness=self.loss_weight * loss_objectness,
            loss_cls_classes=self.loss_weight * loss_classes,
        )
        return losses if self.return_dict else sum(losses.values())

    @torch.no_grad()
    def _log_weights(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logarithms (R, C) of the weights of each class's exponential, for logits (R, C).

        The product of the mitigation factor ``min(1, N_c / N_y) ** p`` of the counts N and the
        compensation factor ``max(1, s_c / s_y) ** q`` of the softmax s; 1 for the label y. As sums,
        in place, they take two matrices where MMDetection has twelve.
        """
        column = labels[:, None]
        if self.q > 0:
            weights = logits.log_softmax(1)
            weights -= weights.gather(1, column).clamp(min=math.log(self.eps))
            weights.clamp_(min=0).mul_(self.q)
        else:
            weights = torch.zeros_like(logits)
        if self.p > 0:
            count = self.cum_samples[: self.num_classes].clamp(min=1).log().to(logits)
            weights += (count - count[labels][:, None]).clamp_(max=0).mul_(self.p)
        return weights.scatter_(1, column, 0)
