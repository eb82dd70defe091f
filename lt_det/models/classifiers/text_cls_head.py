"""Head of classifiers whose logits come from class texts."""

from __future__ import annotations

from mmpretrain.registry import MODELS
from torch import nn

from ...errors import BadInputError
from ...protocols import TakesClassifier
from .long_tail_cls_head import LongTailClsHead


@MODELS.register_module()
class TextClsHead(LongTailClsHead):
    """Adjustment, loss and prediction of logits that the model has computed; no classifier.

    Its ``forward`` takes logits (B, C) as the last of ``feats`` and returns them adjusted.

    Args:
        num_classes: C.
        in_channels: Ignored.
        **kwargs: ``adjustment``, ``loss``, ``topk``, ``cal_acc`` of :class:`LongTailClsHead`.

    Raises:
        BadInputError: An adjustment reads the weights of a classifier (``TauNorm``): class texts
            have unit norm already.
    """

    def __init__(self, num_classes: int, in_channels: int = 1, **kwargs) -> None:
        kwargs['init_cfg'] = None
        super().__init__(num_classes, in_channels=1, **kwargs)
        self.fc = nn.Identity()
        for rule in () if self.adjustment is None else self.adjustment.rules:
            if isinstance(rule, TakesClassifier):
                raise BadInputError(
                    f'head.adjustment {type(rule).__name__} reads the weights of a classifier, '
                    'TextClsHead has none: the texts of all classes have norm 1'
                )

    def _show_classifier(self) -> None:
        """There is none, and no rule that asks for it."""
