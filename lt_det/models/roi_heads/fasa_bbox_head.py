"""LongTailBBoxHead whose classifier also learns from virtual features."""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ...errors import BadInputError
from ...frequency import ClassFrequency
from ...values import check_values
from ..layers.fasa import FASA
from .long_tail_bbox_head import LongTailBBoxHead


@MODELS.register_module()
class FASABBoxHead(LongTailBBoxHead):
    """Adds ``loss_fasa``: the class loss of virtual features, see :class:`FASA`.

    It trains the class predictor alone. Real and virtual features go through the same predictor,
    adjustment and loss. The config needs ``dict(type='ModuleEpochHook')`` in ``custom_hooks``,
    which tells FASA the epoch.

    Args:
        fasa: Arguments of FASA, but for numbers of classes and features.
        fasa_weight: Weight of the loss.
        **kwargs: Those of LongTailBBoxHead.

    Raises:
        BadInputError: The loss has channels of its own, or an argument is outside its range.
    """

    def __init__(self, *args, fasa: dict | None = None, fasa_weight: float = 0.1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.custom_cls_channels or not self.with_cls:
            raise BadInputError(
                f"bbox_head.type is 'FASABBoxHead', but loss_cls.type is "
                f"'{type(self.loss_cls).__name__}' and with_cls={self.with_cls}; expected "
                "'CrossEntropyLoss', which has one softmax over classes and background"
            )
        self.fasa = FASA(self.num_classes, self.cls_last_dim, **(fasa or {}))
        check_values('bbox_head', fasa_weight=(fasa_weight, 'a number >= 0'))
        self.fasa_weight = fasa_weight

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        super().set_class_frequency(frequency)
        self.fasa.set_class_frequency(frequency)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """LongTailBBoxHead's; in training, the input of the predictor is kept for the loss."""
        if not self.training:
            return super().forward(x)
        kept = []
        hook = self.fc_cls.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        try:
            return super().forward(x)
        finally:
            hook.remove()
            self._features = kept[-1].detach() if kept else None

    def loss(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor | None,
        rois: Tensor,
        labels: Tensor,
        *args,
        **kwargs,
    ) -> dict[str, Tensor]:
        """LongTailBBoxHead's and, in training, ``loss_fasa``.

        Args:
            cls_score: (R, C + 1).
            bbox_pred: (R, 4) or (R, 4 C).
            rois: (R, 5).
            labels: (R,), C for background.
            *args, **kwargs: The others of ConvFCBBoxHead.
        """
        losses = super().loss(cls_score, bbox_pred, rois, labels, *args, **kwargs)
        if not self.training:
            return losses
        features, self._features = self._features, None
        each = F.cross_entropy(cls_score.detach(), labels, reduction='none')
        self.fasa.update(features, labels, each)
        if self.fasa.epoch >= self.fasa.begin:
            virtual, classes, weights = self.fasa.sample()
            logits = self.fc_cls(virtual.to(next(self.fc_cls.parameters())))
            if self.adjustment is not None:
                logits = self.adjustment(logits)
            loss = self.loss_cls(logits, classes, weights, avg_factor=weights.sum().clamp(min=1))
            losses['loss_fasa'] = self.fasa_weight * loss
        return losses
