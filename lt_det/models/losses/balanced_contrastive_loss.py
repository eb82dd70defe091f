"""Supervised contrastive loss in which every class weighs the same, for whole and masked images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmengine.dist import get_rank, get_world_size
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from ...values import check_values
from ..precision import full_precision, unit


@MODELS.register_module()
class BalancedContrastiveLoss(nn.Module):
    """Balanced contrastive learning (Zhu et al., arXiv 2207.09052, equations 4 to 7).

    For a view i of class y with unit embedding z_i, class centres c_k, and ``B_k`` the other views
    of class k together with c_k, over all processes::

        L_i = - 1/|B_y| sum_{p in B_y} ln( exp(z_i . z_p / t) / S_i )
        S_i = sum_k 1/|B_k| sum_{j in B_k} exp(z_i . z_j / t)

    Averaging S_i by class (class averaging) takes from frequent classes their weight; the centres
    (class complement) put every class into every batch. Without both it is the supervised
    contrastive loss (Khosla et al., arXiv 2004.11362, L_out).

    A masked view belongs to two classes, with share ``lambda`` to its own and with the rest to
    another one (SMCL, arXiv 2406.02223, after its stated principle; details ours). Then view j is
    in B_k with its share w_jk, sums and sizes are weighted, and ``L_i = sum_k w_ik L_ik``.

    A view to which no other belongs (a class's only view, no centres) has no loss: the mean is
    over those that have. With none the loss is 0.

    Args:
        temperature: t.
        class_average: Whether S_i averages by class.
        loss_weight: Factor of the loss.

    Raises:
        BadInputError: ``temperature`` is not positive.
    """

    def __init__(
        self, temperature: float = 0.1, class_average: bool = True, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        check_values(
            'BalancedContrastiveLoss',
            temperature=(temperature, 'a number > 0'),
            class_average=(class_average, 'True or False'),
            loss_weight=(loss_weight, 'a number >= 0'),
        )
        self.temperature = temperature
        self.class_average = class_average
        self.loss_weight = loss_weight

    def forward(
        self,
        embeddings: Tensor,
        membership: Tensor | Membership,
        centres: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of the views of this process, against those of all processes.

        Args:
            embeddings: (N, d); divided by their norms here. N is the same in all processes.
            membership: w (N, C), or the labels that it follows from, of which other processes are
                sent less.
            centres: c (C, d), a centre per class; divided by their norms here.

        Returns:
            (). Averaged over processes, gradients are those of the mean over all views (where every
            view has a loss, as with centres).
        """
        loss, counts = self.per_view(embeddings, membership, centres)
        return self.loss_weight * loss.sum() / counts.sum().clamp(min=1)

    def per_view(
        self,
        embeddings: Tensor,
        membership: Tensor | Membership,
        centres: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """L_i (N,), and whether each view has a loss, boolean (N,)."""
        with full_precision(embeddings):
            return self._per_view(unit(embeddings), membership, centres)

    def _per_view(
        self, z: Tensor, membership: Tensor | Membership, centres: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if isinstance(membership, Tensor):
            w = membership.to(z)
            everyone, theirs = _everyones(z), _everyones(w)
        else:
            w = class_membership(*membership).to(z)
            everyone, theirs = _everyones(z), w
            if get_world_size() > 1:
                theirs = class_membership(*membership.everyones()).to(z)
        logits = z @ everyone.T / self.temperature
        # the views of this process stand behind those of the processes before it
        is_self = torch.eye(*logits.shape, dtype=torch.bool, device=z.device)
        is_self = is_self.roll(get_rank() * len(z), 1)
        to_others = logits.masked_fill(is_self, -torch.inf)
        largest = to_others.detach().amax(1, keepdim=True)
        if centres is not None:
            to_centres = z @ unit(centres).to(z).T / self.temperature
            largest = torch.maximum(largest, to_centres.detach().amax(1, keepdim=True))
        largest = torch.where(largest.isfinite(), largest, 0)  # a single view has no others

        # sums over the other views, each with its share in each class: (N, C)
        power = (to_others - largest).exp() @ theirs
        similar = logits.masked_fill(is_self, 0) @ theirs
        size = (~is_self).to(z) @ theirs  # not sum minus own: rounding would leave members
        if centres is not None:
            power = power + (to_centres - largest).exp()
            similar = similar + to_centres
            size = size + 1
        present = size > 0
        safe = torch.where(present, size, 1)
        total = (power / safe if self.class_average else power).sum(1, keepdim=True)
        log_total = torch.where(total > 0, total, 1).log() + largest  # 0 without others
        own = w * present
        return (own * (log_total - similar / safe)).sum(1), own.sum(1) > 0


class Membership(NamedTuple):
    """Labels from which :func:`class_membership` makes w; its arguments."""

    labels: Tensor
    num_classes: int
    others: Tensor | None = None
    share: Tensor | None = None

    def everyones(self) -> Membership:
        """That of all processes together."""
        return Membership(*(_everyones(x) if isinstance(x, Tensor) else x for x in self))


def _everyones(rows: Tensor) -> Tensor:
    """Rows (N, ...) of all processes, one behind the other."""
    return rows if get_world_size() == 1 else torch.cat(all_gather(rows))


def class_membership(
    labels: Tensor, num_classes: int, others: Tensor | None = None, share: Tensor | None = None
) -> Tensor:
    """w (N, C): ``share`` of a view is its label's, the rest that of its other label.

    Args:
        labels: (N,).
        num_classes: C.
        others: Other labels (N,); may equal ``labels``.
        share: (N,) in 0..1. Needed with ``others``.
    """
    if others is None:
        return torch.zeros(len(labels), num_classes, device=labels.device).scatter_(
            1, labels[:, None], 1
        )
    w = share.new_zeros(len(labels), num_classes)
    w.scatter_add_(1, labels[:, None], share[:, None])
    return w.scatter_add_(1, others[:, None], 1 - share[:, None])
