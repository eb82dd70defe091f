"""Focal loss whose focus on hard samples follows the imbalance of each class."""

from __future__ import annotations

import torch
from mmdet.models.losses.utils import weight_reduce_loss
from mmdet.registry import MODELS
from mmengine.dist import all_reduce, get_rank
from torch import Tensor
from torch.nn import functional as F

from ...data_buffers import DataBuffers
from ...values import check_values
from .sigmoid_head import SigmoidClassification, is_label

_REDUCTIONS = ('mean', 'sum', 'none')


@MODELS.register_module()
class EqualizedFocalLoss(SigmoidClassification, DataBuffers):
    """Equalized focal loss (EFL; Li et al., arXiv 2201.02593, equations 3 to 6).

    For a logit of class c with probability p, p_t = p where c is the label and 1 - p elsewhere::

        - alpha_t (gamma_c / gamma) (1 - p_t) ** gamma_c * ln p_t
        gamma_c = gamma + scale (1 - g_c)

    alpha_t is alpha where c is the label and 1 - alpha elsewhere. g_c is the ratio of the absolute
    gradients that positives and negatives of class c have given so far, at most 1; it starts at 1,
    where the loss is focal loss, and with ``scale=0`` it stays that, as does its gradient.

    Gradients are those to the logits, label weights included, before the divisor, summed over all
    levels, decoder layers and processes. g_c changes once per iteration (as in the authors' code):
    at its end, where :class:`ClassFrequencyHook` tells it, else with the first loss after a
    backward pass. So processes may differ in how often they ask for a loss, as those of DINO do for
    denoising where only some have objects. What no gradient is asked of does not count, nor do rows
    with a logit that is not finite.

    It is a loss of dense and query heads; in RoI heads the background channel is not used.

    Args:
        num_classes: C.
        gamma: That of all classes, gamma_b in the paper.
        alpha: See above.
        scale: s in the paper, ``scale_factor`` in the authors' code.
        reduction: ``'mean'``, ``'sum'`` or ``'none'``, as in MMDetection's FocalLoss.
        loss_weight: Factor of the loss.
        use_sigmoid: For MMDetection, which asks for it; only True.

    Raises:
        BadInputError: ``gamma`` not positive, ``alpha`` outside [0, 1], ``scale`` < 0, another
            ``reduction``, or ``use_sigmoid=False``.
    """

    data_buffers = ('pos_grad', 'neg_grad', 'pos_neg', 'pending')

    def __init__(
        self,
        num_classes: int = 1203,
        gamma: float = 2.0,
        alpha: float = 0.25,
        scale: float = 8.0,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
        use_sigmoid: bool = True,
    ) -> None:
        super().__init__()
        check_values(
            'loss_cls',
            gamma=(gamma, 'a number > 0'),
            alpha=(alpha, 'a number in [0, 1]'),
            scale=(scale, 'a number >= 0'),
            reduction=(reduction, _REDUCTIONS),
            loss_weight=(loss_weight, 'a number >= 0'),
            use_sigmoid=(use_sigmoid, (True,)),
        )
        self.num_classes = num_classes
        self.gamma = gamma
        self.alpha = alpha
        self.scale = scale
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.use_sigmoid = True
        self.register_buffer('pos_grad', torch.zeros(num_classes))
        self.register_buffer('neg_grad', torch.zeros(num_classes))
        self.register_buffer('pos_neg', torch.ones(num_classes))
        # of this process since the last update, of positives and negatives
        self.register_buffer('pending', torch.zeros(2, num_classes))
        self._iteration_ended = False

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._iteration_ended = True  # checkpoints are written between two of them
        if get_rank():  # what the checkpoint has is to be counted once
            self.pending.zero_()

    def end_iteration(self) -> None:
        """Take in the gradients of all processes; every process calls it after an iteration."""
        self._iteration_ended = True
        self._update()

    def forward(
        self,
        cls_score: Tensor,
        labels: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of logits and labels.

        Args:
            cls_score: (R, C) of a dense or query head, or (R, C + 1).
            labels: (R,), C for the background.
            weight: (R,), or (R, C). Default: ones.
            avg_factor: Divisor of the sum. Default: R C.
            reduction_override: In place of ``reduction``.

        Returns:
            (), or (R, C) without reduction.
        """
        reduction = reduction_override or self.reduction
        self.check_inputs(cls_score, labels)
        self._update()
        # float32 for halves; the slice is the whole in dense and query heads
        logits = cls_score[:, : self.num_classes]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        target = is_label(labels, self.num_classes)
        gamma = (self.gamma + self.scale * (1 - self.pos_neg)).to(logits)
        factor = gamma / self.gamma
        factor = torch.where(target, self.alpha * factor, (1 - self.alpha) * factor)
        losses, steepness = _Focal.apply(logits, target, gamma, factor)
        if weight is not None:
            weight = weight if weight.ndim == 2 else weight[:, None]
        loss = self.loss_weight * weight_reduce_loss(losses, weight, reduction, avg_factor)
        if loss.requires_grad:
            steepness = steepness if weight is None else steepness * weight
            self._collect(torch.where(logits.isfinite().all(1, True), steepness, 0), target)
            loss.register_hook(self._end_iteration)
        return loss

    @torch.no_grad()
    def _collect(self, steepness: Tensor, target: Tensor) -> None:
        """Add absolute gradients (R, C) to those of this process."""
        self.pending[0] += torch.where(target, steepness, 0).sum(0)
        self.pending[1] += torch.where(target, 0, steepness).sum(0)

    def _end_iteration(self, _: Tensor) -> None:
        self._iteration_ended = True

    @torch.no_grad()
    def _update(self) -> None:
        """Once per iteration, take in the gradients of all processes."""
        if not self._iteration_ended:
            return
        self._iteration_ended = False
        all_reduce(self.pending)
        self.pos_grad += self.pending[0]
        self.neg_grad += self.pending[1]
        self.pos_neg.copy_((self.pos_grad / (self.neg_grad + 1e-10)).clamp(max=1))
        self.pending.zero_()


class _Focal(torch.autograd.Function):
    """``factor (1 - p_t) ** gamma * -ln p_t`` of each logit, and the size of its derivative.

    The derivative is wanted in any case; it alone is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, target: Tensor, gamma: Tensor, factor: Tensor):
        """(R, C), boolean (R, C), (C,) and (R, C) to (R, C) twice."""
        towards = torch.where(target, logits, -logits)  # p_t is its sigmoid
        minus_log, miss = F.softplus(-towards), torch.sigmoid(-towards)
        modulation = factor * miss**gamma
        steepness = modulation * (gamma * torch.sigmoid(towards) * minus_log + miss)
        ctx.save_for_backward(torch.where(target, -steepness, steepness))
        ctx.mark_non_differentiable(steepness)
        return modulation * minus_log, steepness

    @staticmethod
    def backward(ctx, gradient: Tensor, _):
        (derivative,) = ctx.saved_tensors
        return gradient * derivative, None, None, None
