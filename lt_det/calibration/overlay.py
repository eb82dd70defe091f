"""A rule of one's choice behind the class logits of a built detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..adjustments import ComposedAdjustment, LogitAdjustment, build_adjustment, show_classifier
from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..models.any_detector.adjusted_logits import AdjustedLogits, class_weights
from ..models.any_detector.class_logits import ClassLogits, find_class_logits
from ..models.any_detector.long_tail import check_rule
from ..protocols import TakesBoxDimension

Rule = LogitAdjustment | ComposedAdjustment


class Overlay:
    """Applies a rule to what a head makes of its class logits, behind its own adjustment.

    Args:
        logits: Of the head.

    Attributes:
        rule: In evaluation mode; None applies nothing.
    """

    def __init__(self, logits: ClassLogits) -> None:
        self.logits = logits
        self.rule: Rule | None = None
        if _adjusts_by_itself(logits):
            self._handles = [logits.head.register_forward_hook(self._of_head)]
        else:
            self._handles = [
                layer.register_forward_hook(self._of_layer) for layer in logits.at_test
            ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _of_layer(self, layer: nn.Module, args: tuple, output: Tensor) -> Tensor:
        if self.rule is None:
            return output
        return self.rule(output, 1 if isinstance(layer, nn.Conv2d) else -1)

    def _of_head(self, head: nn.Module, args: tuple, output: tuple) -> tuple:
        return output if self.rule is None else (self.rule(output[0]), *output[1:])

    def built(
        self,
        rules: Sequence[Mapping],
        frequency: ClassFrequency,
        dimension: np.ndarray | None = None,
    ) -> Rule | None:
        """The rule of some configs, with its statistics and on the device of the head.

        Rules that read class weights read those of the layers, as in the config of a head.

        Args:
            rules: Configs, applied in turn; none gives None.
            frequency: Of the training set.
            dimension: (C,) box-counting dimensions, for FRACAL.

        Raises:
            BadInputError: The head does not allow the rule.
        """
        if not rules:
            return None
        logits = self.logits
        rule = build_adjustment(
            [dict(config) for config in rules],
            num_classes=logits.num_classes,
            num_extra=logits.num_extra,
            activation=logits.activation,
        )
        channels = logits.num_classes + logits.num_extra
        weight, bias = class_weights(logits.at_test, channels)
        for part in rule.rules:
            check_rule(part, logits, f'model.{logits.name}')
            if part.stage != 'test':
                raise BadInputError(
                    f"{part!r} has stage='{part.stage}', expected 'test': the detector is trained"
                )
            part.set_class_frequency(frequency)
            if isinstance(part, TakesBoxDimension):
                part.set_box_dimension(dimension)
        rule = rule.to(weight.device).eval()
        show_classifier(rule, weight, bias)
        return rule

    def affine_map(self, rule: Rule | None) -> tuple[Tensor, Tensor] | None:
        """Scale and shift (C + num_extra,) from what the layers compute to what scores are made of.

        It is the head's own map at test, then that of the rule; None where one is not affine.
        """
        own = getattr(self.logits.head, 'adjustment', None)
        parts = [part for each in (own, rule) if each is not None for part in each.rules]
        if not parts:
            scale = torch.ones(self.logits.num_classes + self.logits.num_extra)
            return scale, torch.zeros_like(scale)
        whole = ComposedAdjustment(parts)
        return (whole.scale.detach(), whole.shift.detach()) if whole.affine else None


def overlays(detector: nn.Module) -> list[Overlay]:
    """An overlay on each head of a detector that makes scores.

    Raises:
        BadInputError: No head is known, or one has no class logits that could be adjusted.
    """
    logits_of_heads = find_class_logits(detector)
    if not logits_of_heads:
        raise BadInputError(
            f'model is a {type(detector).__name__}, of which no head is known that has class logits'
        )
    return [Overlay(logits) for logits in logits_of_heads]


def _adjusts_by_itself(logits: ClassLogits) -> bool:
    """Whether the head adjusts what the layers computed, as ``LongTailBBoxHead`` does."""
    hooked = any(
        isinstance(hook, AdjustedLogits)
        for layer in logits.layers
        for hook in layer._forward_hooks.values()
    )
    return hasattr(logits.head, 'adjustment') and not hooked
