"""What MMDetection's box head asks a loss for when the scores are no softmax."""

from __future__ import annotations

from mmdet.models.losses import accuracy
from torch import Tensor

from .class_count import other_class_count


class SigmoidClassification:
    """Makes BBoxHead predict by sigmoid: C logits and one for the background, all independent.

    BBoxHead softmaxes the logits of any loss without these attributes.

    Attributes:
        num_classes: C.
        prior_prob: Score of all classes at the start of training.
    """

    prior_prob = 0.01
    custom_cls_channels = True
    custom_activation = True
    custom_accuracy = True

    def get_cls_channels(self, num_classes: int) -> int:
        """Channels of the predictor.

        Raises:
            BadInputError: The loss is built for another number of classes.
        """
        if num_classes != self.num_classes:
            raise other_class_count(
                self.num_classes, num_classes, 'bbox_head', 'bbox_head.loss_cls'
            )
        return num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores (R, C + 1) of logits (R, C + 1); the last is not read."""
        return cls_score.sigmoid()

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Share of RoIs (R,) whose largest score is that of their label, in percent."""
        return dict(acc=accuracy(self.get_activation(cls_score), labels))
