"""Federated loss: negatives are those classes of which an image is known to have none."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ...errors import BadInputError
from ...frequency import ClassFrequency
from ...frequency_module import FrequencyModule, without_statistics
from ...upload import upload
from ...values import check_values
from ..precision import widen
from .sigmoid_head import SigmoidClassification, over_divisor


@MODELS.register_module()
class FederatedLoss(SigmoidClassification, FrequencyModule):
    """Sigmoid cross-entropy on a few classes per iteration (Zhou et al., arXiv 2103.07461).

    LVIS annotates an image for some classes only, so a class without a box is not a negative. For
    RoI r of image i the loss is the sum of the binary cross-entropies of the classes in::

        S = labels in the batch, filled up to num_sampled by draws proportional to n_c ** power
        (S + negatives(i)) - not_exhaustive(i) + label(r)

    divided by the number of RoIs R. Draws are without replacement, from the training images n_c of
    each class; with ``power=0`` all classes are alike, those without an image too (0 ** 0 = 1). The
    lists of an image come from :class:`FederatedLabelsHook`; without them S stands alone, as in the
    paper. The score at test is the sigmoid; the background channel is not used.

    In dense and query heads, whose rows are anchors, points or queries, the divisor is the one that
    the head gives, its number of positives. They do not say which image a row is from, so S stands
    alone there too; each level or decoder layer that calls the loss draws its own.

    Args:
        num_classes: C.
        num_sampled: Size of S, unless the batch has more labels.
        power: Of the class frequency in the draws.
        loss_weight: Factor of the loss.
        use_sigmoid: For MMDetection, which asks for it; only True.

    Raises:
        BadInputError: ``num_sampled`` < 1, ``power`` < 0, or ``use_sigmoid=False``.
    """

    def __init__(
        self,
        num_classes: int = 1203,
        num_sampled: int = 50,
        power: float = 0.5,
        loss_weight: float = 1.0,
        use_sigmoid: bool = True,
    ) -> None:
        super().__init__(num_classes)
        check_values(
            'loss_cls',
            num_sampled=(num_sampled, 'a whole number >= 1'),
            power=(power, 'a number >= 0'),
            loss_weight=(loss_weight, 'a number >= 0'),
            use_sigmoid=(use_sigmoid, (True,)),
        )
        self.use_sigmoid = True
        self.num_sampled = min(num_sampled, num_classes)
        self.power = power
        self.loss_weight = loss_weight
        self.register_buffer('log_weight', torch.zeros(num_classes), persistent=False)
        self._lists: tuple[Tensor, Tensor] | None = None
        self._image_of_roi: Tensor | None = None

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        super().set_class_frequency(frequency)
        # double: its power of 0 is 1, and that of large counts is exact enough
        self.log_weight.copy_(self.image_count.double().pow(self.power).log())

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        # the counts are data; older checkpoints also carry what follows from the option
        state_dict.pop(prefix + 'log_weight', None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if self.has_frequency:
            self.set_class_frequency(self.frequency)

    def set_images(self, negative: Tensor, not_exhaustive: Tensor) -> None:
        """Lists of the images of the next batch: boolean (B, C) each."""
        self._lists = negative, not_exhaustive

    def set_rois(self, rois: Tensor) -> None:
        """RoIs (R, 5) of the next loss; the first column is the image in the batch."""
        self._image_of_roi = rois[:, 0].long()

    def forward(
        self,
        cls_score: Tensor,
        labels: Tensor,
        label_weights: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss () of logits and labels.

        Args:
            cls_score: (R, C + 1), or (R, C) of a dense or query head.
            labels: (R,), C for the background.
            label_weights: (R,). Default: ones.
            avg_factor: Divisor of the sum. Default: R.
            reduction_override: None or ``'mean'``; others are not defined.

        Raises:
            RuntimeError: The class frequencies are not known.
        """
        if reduction_override not in (None, 'mean'):
            raise BadInputError(
                f"FederatedLoss: reduction is '{reduction_override}', expected 'mean'"
            )
        if not self.has_frequency:
            raise without_statistics(self)
        self.check_inputs(cls_score, labels)
        logits = widen(cls_score[:, : self.num_classes])  # a sum of classes overflows in half
        label, is_object = self._columns(labels)
        # binary cross-entropy is softplus(z), less z where the class is the label: so no target
        # (R, C) is needed, of which a dense head has a hundred thousand rows
        losses = (F.softplus(logits) * self.considered(labels)).sum(1)
        losses = losses - torch.where(is_object, logits.gather(1, label), 0)[:, 0]
        if label_weights is not None:
            losses = losses * label_weights
        divisor = max(len(labels), 1) if avg_factor is None else avg_factor
        return self.loss_weight * over_divisor(losses.sum(), divisor)

    def _columns(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A column (R, 1) of each row, its label's, and whether it is one: (R, 1)."""
        return labels.clamp(max=self.num_classes - 1)[:, None], (labels < self.num_classes)[:, None]

    @torch.no_grad()
    def considered(self, labels: Tensor) -> Tensor:
        """Which classes count for rows with these labels (R,): boolean (R, C), or (C,) for all."""
        present = torch.zeros(self.num_classes + 1, dtype=torch.bool, device=labels.device)
        present = present.index_fill_(0, labels, True)[:-1]
        # the largest keys of log w + Gumbel noise are draws without replacement, at no host sync
        noise = -torch.empty_like(self.log_weight).exponential_().log()
        key = torch.where(present, torch.inf, self.log_weight + noise)
        largest = key.topk(self.num_sampled)
        sampled = torch.zeros_like(present).index_fill(0, largest.indices, True)
        sampled = (sampled & (key > -torch.inf)) | present
        if self._lists is None or self._image_of_roi is None:
            return sampled
        # to the device once a batch
        negative, not_exhaustive = self._lists = tuple(
            upload(lists, labels.device) for lists in self._lists
        )
        considered = ((sampled | negative) & ~not_exhaustive)[self._image_of_roi]
        label, is_object = self._columns(labels)
        return considered.scatter_(1, label, considered.gather(1, label) | is_object)
