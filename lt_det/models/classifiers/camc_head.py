"""Classification head whose feature map is calibrated by class activation."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ...values import check_values
from ..layers.cam_calibration import CAMCalibration
from .long_tail_cls_head import LongTailClsHead


@MODELS.register_module()
class CAMCClsHead(LongTailClsHead):
    """Classifies twice: the averaged features, and the features calibrated by the first result.

    See :class:`CAMCalibration` for the rule and its source. The classifier is shared, so the
    weighted map is the class activation map of its own weights, and the module starts as a
    LongTailClsHead on averaged features. In training the loss of the first pass is added, and the
    prototypes follow the labels (of a mixture, the label with the largest share).

    The model has no neck: the head reads the feature map.

    Args:
        num_classes: C.
        in_channels: D.
        calibration: Arguments of CAMCalibration, but for numbers of classes and channels.
        first_pass_weight: Weight of the loss of the first pass.
        **kwargs: Those of LongTailClsHead.

    Raises:
        BadInputError: A number is outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        calibration: dict | None = None,
        first_pass_weight: float = 0.5,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.calibration = CAMCalibration(num_classes, in_channels, **(calibration or {}))
        check_values('head', first_pass_weight=(first_pass_weight, 'a number >= 0'))
        self.first_pass_weight = first_pass_weight

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Calibrated features (B, D) of a map (B, D, h, w)."""
        return self._calibrated(feats[-1], self._first_pass(feats[-1]))

    def loss(self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs) -> dict:
        """``loss`` of the calibrated features and ``loss_first_pass``; feats[-1]: (B, D, h, w)."""
        if 'gt_score' in data_samples[0]:
            labels = torch.stack([sample.gt_score for sample in data_samples]).argmax(1)
        else:
            labels = torch.cat([sample.gt_label for sample in data_samples])
        first = self._first_pass(feats[-1])
        logits = self.adjusted(self.fc(self._calibrated(feats[-1], first, labels)))
        losses = self._get_loss(logits, data_samples, **kwargs)
        first_loss = self._get_loss(first, data_samples, **kwargs)['loss']
        losses['loss_first_pass'] = self.first_pass_weight * first_loss
        return losses

    def attention(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Where a map (B, D, h, w) shows its probable classes: (B, h, w), mean 1."""
        probabilities = self._first_pass(feats[-1]).softmax(1)
        embedding = self.calibration.embedding(feats[-1])
        return self.calibration.attention(*embedding, *self.calibration.chosen(probabilities, None))

    def _first_pass(self, features: Tensor) -> Tensor:
        return self.adjusted(self.fc(features.mean((2, 3))))

    def _calibrated(self, features: Tensor, first: Tensor, labels: Tensor | None = None) -> Tensor:
        update = self.training and labels is not None
        return self.calibration(features, first.softmax(1), labels, update=update).mean((2, 3))
