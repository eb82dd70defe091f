"""Gumbel's distribution in place of the sigmoid: the loss of GOL."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmdet.models.losses.utils import weight_reduce_loss
from mmdet.registry import MODELS
from torch import Tensor, nn

from ...errors import BadInputError
from ...values import check_values, is_kind
from ..precision import widen
from .sigmoid_head import IndependentScores, is_label

_REDUCTIONS = ('mean', 'sum', 'none')
_FARTHEST = 80.0  # exp of it is finite in float32


@MODELS.register_module()
class GumbelLoss(IndependentScores, nn.Module):
    """Binary cross-entropy of the scores ``exp(-exp(-z))`` (Alexandridis et al., arXiv 2207.10936).

    For RoI heads. With ``r = exp(-z)`` of a logit, the loss of each RoI and each of its C + 1
    channels, that of the background among them, is::

        r                   where the channel is the label
        -ln(1 - exp(-r))    elsewhere

    Its gradients are ``-r``, for a low score far larger than the 1 of a sigmoid, and
    ``r / (exp(r) - 1)``, for a low score far smaller: rare classes, whose scores are low, gain more
    by their few positives and lose less by the negatives.

    From the authors' code (``GumbelCE`` of github.com/kostas1515/GOL): the limits of the logits,
    beyond which there is no gradient; a predictor that starts at weights of 0.001 and biases of -2,
    which :class:`LongTailBBoxHead` does where it is a plain ``Linear`` layer (in a stock head give
    ``init_cfg``); and scores at test without the background.

    That is what the paper calls Gumbel activation. Its GOL is more: the negatives that DropLoss
    (arXiv 2104.06402) leaves out, for which the background has no channel, are not included here;
    repeat factor sampling and the normalised mask predictor are keys of their own. Nor is the
    authors' limit of 20 on the whole loss. Ours: the logarithms are computed from r, and stay exact
    where scores round to 0 or 1; ``test_with_obj``.

    Args:
        num_classes: C.
        limits: Between which the loss holds the logits.
        test_with_obj: Whether scores at test are multiplied by ``1 - score of the background``, as
            those of EQLv2 are.
        reduction: ``'mean'``, ``'sum'`` or ``'none'``, as in MMDetection's CrossEntropyLoss.
        loss_weight: Factor of the loss.

    Raises:
        BadInputError: ``limits`` are not two rising numbers in [-80, 80], or another ``reduction``.
    """

    adjustable = False
    predictor_start = dict(type='Constant', val=0.001, bias=-2.0)

    def __init__(
        self,
        num_classes: int = 1203,
        limits: Sequence[float] = (-4.0, 10.0),
        test_with_obj: bool = False,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        rising = isinstance(limits, Sequence) and len(limits) == 2
        rising = rising and all(is_kind(limit, 'a number') for limit in limits)
        rising = rising and -_FARTHEST <= limits[0] < limits[1] <= _FARTHEST
        if not rising:
            raise BadInputError(
                f'loss_cls.limits is {limits!r}, expected two rising numbers in '
                f'[-{_FARTHEST:g}, {_FARTHEST:g}]'
            )
        check_values(
            'loss_cls',
            num_classes=(num_classes, 'a whole number >= 1'),
            reduction=(reduction, _REDUCTIONS),
            test_with_obj=(test_with_obj, 'True or False'),
            loss_weight=(loss_weight, 'a number >= 0'),
        )
        self.num_classes = num_classes
        self.limits = tuple(limits)
        self.test_with_obj = test_with_obj
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(
        self,
        cls_score: Tensor,
        labels: Tensor,
        label_weights: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of logits and labels.

        Args:
            cls_score: (R, C + 1).
            labels: (R,), C for the background.
            label_weights: (R,). Default: ones.
            avg_factor: Divisor of the sum; box heads give the number of RoIs. Default: R (C + 1).
            reduction_override: In place of ``reduction``.

        Returns:
            (), or (R, C + 1) without reduction.
        """
        self.check_inputs(cls_score, labels)
        target = is_label(labels, cls_score.size(1))
        losses = _GumbelEntropy.apply(widen(cls_score), target, *self.limits)
        weight = None if label_weights is None else label_weights[:, None]
        reduction = reduction_override or self.reduction
        return self.loss_weight * weight_reduce_loss(losses, weight, reduction, avg_factor)

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores of logits (R, C + 1), of the same shape."""
        rates = torch.exp(-widen(cls_score))
        scores = torch.exp(-rates)
        if not self.test_with_obj:
            return scores
        return torch.cat([scores[:, :-1] * -torch.expm1(-rates[:, -1:]), scores[:, -1:]], 1)


class _GumbelEntropy(torch.autograd.Function):
    """``-ln p`` of the targets and ``-ln(1 - p)`` of the others, with ``p = exp(-exp(-z))``.

    The derivative alone is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, target: Tensor, low: float, high: float) -> Tensor:
        """(R, C) and boolean (R, C) to (R, C)."""
        rates = torch.exp(-logits.clamp(low, high))
        steepness = torch.where(target, -rates, rates / torch.expm1(rates))
        ctx.save_for_backward(torch.where((logits < low) | (logits > high), 0, steepness))
        # the one keeps the digits of 1 - p where it is small, the other those of p
        others = torch.where(
            rates < math.log(2), torch.expm1(-rates).neg().log(), torch.log1p(-torch.exp(-rates))
        )
        return torch.where(target, rates, -others)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (steepness,) = ctx.saved_tensors
        return gradient * steepness, None, None, None
