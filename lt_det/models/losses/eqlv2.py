"""Equalization loss v2 with the prediction that belongs to it."""

from __future__ import annotations

import torch
from mmdet.models.losses import EQLV2Loss
from mmdet.registry import MODELS
from mmengine.dist import all_reduce
from torch import Tensor
from torch.nn import functional as F

from ...data_buffers import DataBuffers
from ...errors import BadInputError
from ...values import check_values
from .sigmoid_head import SigmoidClassification, is_label, over_divisor


@MODELS.register_module()
class LongTailEQLV2Loss(SigmoidClassification, DataBuffers, EQLV2Loss):
    """MMDetection's ``EQLV2Loss`` (Tan et al., arXiv 2012.08548), predicting as it was trained.

    A classifier of independent sigmoids. With g_c the ratio of the gradients that positives and
    negatives of class c have given so far, ``f(g) = 1 / (1 + exp(-gamma (g - mu)))`` weights the
    loss of negatives and ``1 + alpha (1 - f(g))`` that of positives; the background channel has
    weight 1. MMDetection's head predicts from it by softmax, since the loss does not say otherwise;
    here the score is the ``sigmoid(z_c) (1 - sigmoid(z_background))`` of its ``get_activation``.
    Gradients are summed over all processes whenever there are several, label weights count, and no
    graph is kept until the next iteration. In one process, with label weights of 1, the loss and
    its gradients are those of MMDetection.

    Dense and query heads have no background channel: there the score is the sigmoid, and the
    divisor the number of positives that the head gives. Each call updates g_c.

    Args:
        **kwargs: Those of ``EQLV2Loss``, but for ``use_distributed``.

    Raises:
        BadInputError: ``use_sigmoid=False``, or a number outside its range.
    """

    data_buffers = ('pos_grad', 'neg_grad', 'pos_neg')

    def __init__(self, **kwargs) -> None:
        if not kwargs.get('use_sigmoid', True):
            raise BadInputError('loss_cls.use_sigmoid is False, but EQLv2 needs sigmoids')
        super().__init__(**kwargs)
        check_values(
            'loss_cls',
            num_classes=(self.num_classes, 'a whole number >= 1'),
            gamma=(self.gamma, 'a number > 0'),
            mu=(self.mu, 'a number'),
            alpha=(self.alpha, 'a number >= 0'),
            loss_weight=(self.loss_weight, 'a number >= 0'),
        )

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss () of logits and labels.

        Args:
            cls_score: (R, C + 1), or (R, C) of a dense or query head.
            label: (R,), C for the background.
            weight: (R,). Default: ones.
            avg_factor: Divisor for (R, C). That for (R, C + 1) is R, as in the paper.
            reduction_override: None or ``'mean'``, others are not defined.
        """
        if reduction_override not in (None, 'mean'):
            raise BadInputError(f"EQLv2: reduction is '{reduction_override}', expected 'mean'")
        self.check_inputs(cls_score, label)
        channels = cls_score.size(1)
        has_background = channels > self.num_classes
        negative = self.map_func(self.pos_neg)
        negative = F.pad(negative, (0, channels - self.num_classes), value=1)
        target = is_label(label, channels)
        weights = torch.where(target, 1 + self.alpha * (1 - negative), negative)
        if weight is not None:
            weights = weights * weight[:, None]
        target = target.to(cls_score)
        losses = F.binary_cross_entropy_with_logits(cls_score, target, reduction='none')
        self.collect_grad(cls_score.detach(), target, weights.detach())
        total = self.loss_weight * (losses * weights).sum()
        if has_background or avg_factor is None:
            return total / max(len(label), 1)
        return over_divisor(total, avg_factor)

    @torch.no_grad()
    def collect_grad(self, pred: Tensor, target: Tensor, weight: Tensor) -> None:
        """Add the absolute gradients of R x C logits to those of the run, before any divisor.

        RoIs with a logit that is not finite, as in a step that mixed precision skips, do not count.
        """
        finite = pred.isfinite().all(1, keepdim=True)
        gradient = torch.where(finite, (pred.sigmoid() - target).abs() * weight, 0)
        both = torch.stack([(gradient * target).sum(0), (gradient * (1 - target)).sum(0)])
        both = both[:, : self.num_classes].float().contiguous()
        all_reduce(both)
        self.pos_grad += both[0]
        self.neg_grad += both[1]
        self.pos_neg.copy_(self.pos_grad / (self.neg_grad + 1e-10))

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores of logits (R, C) or (R, C + 1): sigmoids, times the probability of an object."""
        scores = cls_score.sigmoid()
        if not self.test_with_obj or cls_score.size(1) == self.num_classes:
            return scores
        return torch.cat([scores[:, :-1] * (1 - scores[:, -1:]), scores[:, -1:]], 1)
