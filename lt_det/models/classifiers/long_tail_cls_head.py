"""LinearClsHead whose logits are adjusted for the class frequencies."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import MODELS as LAYERS
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...adjustments import build_adjustment, show_classifier
from ...errors import BadInputError
from ...frequency import ClassFrequency
from ...frequency_module import FrequencyModule
from ...protocols import TakesClassFrequency, TakesClassifier
from ...values import check_values
from ..losses.class_count import with_class_count

LINEAR = ('Linear', 'mmdet.Linear')


@MODELS.register_module()
class LongTailClsHead(LinearClsHead):
    """Adjusts the logits between the classifier and everything that reads class scores.

    Parameters have the names of LinearClsHead, so its checkpoints load. The class statistics are
    in every checkpoint, with an adjustment or without, so that one can be put on a trained model
    and accuracies by group need no training list.

    Args:
        num_classes: C.
        in_channels: D.
        adjustment: Config of one adjustment, or of several applied in turn
            (:func:`lt_det.adjustments.build_adjustment`). None: LinearClsHead as it is.
        cls_predictor_cfg: The classifier: ``dict(type='Linear')``, ``dict(type='CosineLinear',
            scale=16.)`` or another linear layer of MMDetection.
        train_predictor: False freezes the classifier (for ``LearnedScale``).
        loss: Any loss of MMPretrain, labels or soft targets.
        **kwargs: Those of LinearClsHead.

    Raises:
        BadInputError: ``adjustment`` cannot be built, there is no such layer, the loss is given
            another number of classes, or a rule has no meaning for the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        adjustment: dict | Sequence[dict] | None = None,
        cls_predictor_cfg: dict | None = None,
        train_predictor: bool = True,
        **kwargs,
    ) -> None:
        if 'loss' in kwargs:
            kwargs['loss'] = with_class_count(
                kwargs['loss'], num_classes, 'head', 'head.loss', MODELS
            )
        super().__init__(num_classes, in_channels, **kwargs)
        if cls_predictor_cfg is not None:
            self.fc = build_predictor(cls_predictor_cfg, in_channels, num_classes)
        check_values('head', train_predictor=(train_predictor, 'True or False'))
        self.fc.requires_grad_(train_predictor)
        self.statistics = FrequencyModule(num_classes)
        self.adjustment = None
        if adjustment is not None:
            self.adjustment = build_adjustment(
                adjustment, background=False, num_classes=num_classes
            )
            self._check_rules(cls_predictor_cfg)
        self.register_load_state_dict_post_hook(LongTailClsHead._after_load)

    def _check_rules(self, predictor: dict | None) -> None:
        """Refuse rules that the classifier gives no meaning."""
        for rule in self.adjustment.rules:
            if predictor and isinstance(rule, TakesClassifier) and predictor['type'] not in LINEAR:
                raise BadInputError(
                    f"head.adjustment.type is '{type(rule).__name__}', which reads the norms of "
                    f"class weights, but head.cls_predictor_cfg.type is '{predictor['type']}', "
                    "expected 'Linear'"
                )

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        """Hand the statistics to the adjustment and the loss; keep them for the checkpoint.

        Raises:
            BadInputError: Another number of classes.
        """
        if frequency.num_classes != self.num_classes:
            raise BadInputError(
                f'head.num_classes={self.num_classes}, the data set has '
                f'{frequency.num_classes} classes'
            )
        for part in (self.statistics, self.adjustment, self.loss_module):
            if isinstance(part, TakesClassFrequency):
                part.set_class_frequency(frequency)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Adjusted logits (B, C) of features whose last entry is (B, D)."""
        features = self.pre_logits(feats)
        width = getattr(self.fc, 'in_features', None)
        if width not in (None, features.shape[-1]):
            raise BadInputError(
                f'head.in_channels is {width}, but the features of backbone and neck have '
                f'{features.shape[-1]} channels'
            )
        return self.adjusted(self.fc(features))

    def adjusted(self, logits: Tensor) -> Tensor:
        """Logits (B, C) after the adjustment."""
        return logits if self.adjustment is None else self.adjustment(logits)

    def train(self, mode: bool = True):
        """Switch the mode; before evaluation, rules that read the classifier read it."""
        super().train(mode)
        if not mode:
            self._show_classifier()
        return self

    def _show_classifier(self) -> None:
        show_classifier(self.adjustment, self.fc.weight, getattr(self.fc, 'bias', None))

    def _after_load(self, incompatible_keys) -> None:
        statistics = self.statistics
        # a checkpoint of a model without this adjustment has the counts for it all the same
        if statistics.has_frequency and not getattr(self.adjustment, 'has_frequency', True):
            self.adjustment.set_class_frequency(statistics.frequency)
        self._show_classifier()


def build_predictor(cfg: dict, in_channels: int, num_classes: int) -> nn.Module:
    """A classifier (D to C) from its config.

    Raises:
        BadInputError: There is no such layer, or it does not take an argument.
    """
    arguments = dict(cfg)
    name = arguments.pop('type', None)
    layer = nn.Linear if name == 'Linear' else LAYERS.get(name) if name else None
    if layer is None:
        raise BadInputError(
            f"head.cls_predictor_cfg.type is '{name}', expected 'Linear', 'CosineLinear' or "
            'another linear layer of MMDetection'
        )
    try:
        return layer(in_channels, num_classes, **arguments)
    except TypeError as error:
        raise BadInputError(f'head.cls_predictor_cfg={dict(cfg)}: {error}') from error
