"""What MMDetection's heads ask a loss for when the scores are no softmax."""

from __future__ import annotations

import torch
from mmdet.models.losses import accuracy
from torch import Tensor

from ...errors import BadInputError
from .class_count import other_class_count


class IndependentScores:
    """Scores of which each is made of its own logit, in box heads of RoIs.

    BBoxHead softmaxes the logits of any loss without these attributes. They are (R, C + 1), the
    last for the background; labels are C for it.

    Attributes:
        num_classes: C.
        adjustable: Whether the rules for class logits have a meaning for the scores.
    """

    num_classes: int
    adjustable = True
    custom_cls_channels = True
    custom_activation = True
    custom_accuracy = True

    def get_cls_channels(self, num_classes: int) -> int:
        """Channels of the predictor of a RoI head.

        Raises:
            BadInputError: The loss is built for another number of classes.
        """
        if num_classes != self.num_classes:
            raise other_class_count(
                self.num_classes, num_classes, 'bbox_head', 'bbox_head.loss_cls'
            )
        return num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores of logits (R, C) or (R, C + 1), of the same shape; that of C is not read."""
        raise NotImplementedError

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Share of RoIs (R,) whose largest score is that of their label, in percent.

        Nothing for the logits (R, C) of dense heads: nearly all rows are background there.
        """
        if cls_score.size(1) == self.num_classes:
            return {}
        return dict(acc=accuracy(self.get_activation(cls_score), labels))

    def check_inputs(self, cls_score: Tensor, labels: Tensor) -> None:
        """Refuse logits of another number of classes, and targets that are no labels.

        Raises:
            BadInputError: Told by shapes and types alone; nothing waits for the device.
        """
        name, channels = type(self).__name__, cls_score.size(1)
        if channels - self.num_classes not in (0, 1):
            raise BadInputError(
                f'loss_cls.num_classes of {name} is {self.num_classes}, but the head gives it '
                f'{channels} channels; expected {self.num_classes}, or one more for the background'
            )
        if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point():
            raise BadInputError(
                f"loss_cls.type is '{name}', but the head gives it soft targets; expected a label "
                'of each row, as RetinaNet, FCOS, ATSS or the DETRs give it'
            )


class SigmoidClassification(IndependentScores):
    """C independent sigmoids, in every head that assigns a label to each row.

    MMDetection's heads lay the logits out in two ways. Box heads of RoIs have (R, C + 1). Dense
    and query heads, whose ``loss_cls.use_sigmoid`` is True, have (R, C) and no channel for the
    background; they predict by sigmoid by themselves. Labels are C for the background in both.

    Attributes:
        prior_prob: Score of all classes at the start of training, in RoI heads. Dense and query
            heads have the same in their own ``init_cfg``.
    """

    prior_prob = 0.01

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores of logits (R, C) or (R, C + 1), of the same shape; that of C is not read."""
        return cls_score.sigmoid()


def is_label(labels: Tensor, channels: int) -> Tensor:
    """Whether a column is the label of a row: boolean (R, channels).

    Args:
        labels: (R,); those that are no column, as the background, are in no row.
        channels: Number of columns; labels are at most this.
    """
    # a boolean is an eighth of what one_hot returns
    table = torch.zeros(len(labels), channels + 1, dtype=torch.bool, device=labels.device)
    return table.scatter_(1, labels[:, None], True)[:, :channels]


def over_divisor(total: Tensor, divisor: float | Tensor) -> Tensor:
    """A sum over its divisor, which may be 0, as MMDetection divides."""
    return total / (divisor + torch.finfo(torch.float32).eps)
