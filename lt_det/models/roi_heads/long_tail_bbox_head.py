"""ConvFCBBoxHead whose class logits are adjusted for the class frequencies."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.registry import MODELS
from torch import Tensor

from ...adjustments import build_adjustment
from ...errors import BadInputError
from ...frequency import ClassFrequency


@MODELS.register_module()
class LongTailBBoxHead(ConvFCBBoxHead):
    """Adjusts the logits between the predictor and everything that reads class scores.

    Loss, accuracy, softmax at test and box refinement between the stages of a cascade see the same
    logits. Where IIF multiplies them in training and the predictor is a plain ``Linear`` layer, its
    weights start at the constant 0.001 with bias 0 (weights up to 11.5 make a normal start
    unstable; arXiv 2209.04861), unless ``init_cfg`` is given.

    Args:
        adjustment: Config of one adjustment, or of several applied in turn
            (:func:`lt_det.adjustments.build_adjustment`). None: ConvFCBBoxHead as it is.
        **kwargs: Those of ConvFCBBoxHead.

    Raises:
        BadInputError: ``adjustment`` cannot be built.
    """

    def __init__(
        self, *args, adjustment: dict | Sequence[dict] | None = None, init_cfg=None, **kwargs
    ) -> None:
        super().__init__(*args, init_cfg=init_cfg, **kwargs)
        self.adjustment = None
        if adjustment is None:
            return
        if not self.with_cls:
            raise BadInputError(
                'bbox_head has an adjustment but with_cls=False, so no class logits'
            )
        num_logits = self.num_classes + 1
        if self.custom_cls_channels:
            num_logits = self.loss_cls.get_cls_channels(self.num_classes)
        self.adjustment = build_adjustment(
            adjustment, num_classes=self.num_classes, num_extra=num_logits - self.num_classes
        )
        linear = self.cls_predictor_cfg['type'] in ('Linear', 'mmdet.Linear')
        if init_cfg is None and linear and self.adjustment.scales_in_training:
            self.init_cfg = [
                dict(type='Constant', val=0.001, override=dict(name='fc_cls'))
                if _initialises(cfg, 'fc_cls')
                else cfg
                for cfg in self.init_cfg
            ]

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        """Check the number of classes; the adjustment's own coefficients are set through it."""
        if frequency.num_classes != self.num_classes:
            raise BadInputError(
                f'bbox_head.num_classes={self.num_classes}, the data set has '
                f'{frequency.num_classes} classes'
            )
        if self.adjustment is not None:
            self.adjustment.set_class_frequency(frequency)

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Predict from RoI features.

        Args:
            x: (R, D, h, w).

        Returns:
            Adjusted class logits (R, C + 1), background last, and box deltas (R, 4) or (R, 4 C).
        """
        logits, deltas = super().forward(x)
        if self.adjustment is not None:
            logits = self.adjustment(logits)
        return logits, deltas


def _initialises(cfg: dict, name: str) -> bool:
    override = cfg.get('override')
    return isinstance(override, dict) and override.get('name') == name
