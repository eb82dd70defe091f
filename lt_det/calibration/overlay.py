"""A rule of one's choice behind the class logits of a built detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..adjustments import ComposedAdjustment, LogitAdjustment, build_adjustment
from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..models.any_detector.adjusted_logits import AdjustedLogits, class_weights
from ..models.any_detector.class_logits import ClassLogits, find_class_logits
from ..models.any_detector.long_tail import check_rule

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

        Rules that read class weights read those that the head's own adjustment leaves.

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
        weight, bias = effective_classifier(logits)
        for part in rule.rules:
            check_rule(part, logits, f'model.{logits.name}')
            if part.stage != 'test':
                raise BadInputError(
                    f"{part!r} has stage='{part.stage}', expected 'test': the detector is trained"
                )
            part.set_class_frequency(frequency)
            if hasattr(part, 'set_box_dimension'):
                part.set_box_dimension(dimension)
        rule = rule.to(weight.device).eval()
        for part in rule.rules:
            if hasattr(part, 'set_classifier'):
                part.set_classifier(weight, bias)
            # the next one sees what this one leaves
            scale, shift = part.affine_map()
            weight = weight * scale[:, None]
            bias = shift if bias is None else bias * scale + shift
        return rule

    def affine_map(self, rule: Rule | None) -> tuple[Tensor, Tensor] | None:
        """Scale and shift (C + num_extra,) from what the layers compute to what scores are made of.

        It is the head's own map at test, then that of the rule; None where one is not affine.
        """
        own = _affine(getattr(self.logits.head, 'adjustment', None), self.logits)
        new = _affine(rule, self.logits)
        if own is None or new is None:
            return None
        return own[0] * new[0], own[1] * new[0] + new[1]


def overlays(detector: nn.Module) -> list[Overlay]:
    """An overlay on each head of a detector that makes scores.

    Raises:
        BadInputError: No head is known, or one has no class logits that could be adjusted.
    """
    found = find_class_logits(detector)
    if not found:
        raise BadInputError(
            f'model is a {type(detector).__name__}, of which no head is known that has class logits'
        )
    return [Overlay(logits) for logits in found]


def effective_classifier(logits: ClassLogits) -> tuple[Tensor, Tensor | None]:
    """Weights (K, D) and bias (K,) of a head, those of its own map at test included."""
    with torch.no_grad():
        weight, bias = class_weights(logits.at_test, logits.num_classes + logits.num_extra)
        own = _affine(getattr(logits.head, 'adjustment', None), logits)
        if own is None:
            return weight, bias
        scale, shift = own
        return weight * scale[:, None], shift if bias is None else bias * scale + shift


def _adjusts_by_itself(logits: ClassLogits) -> bool:
    """Whether the head adjusts what the layers computed, as ``LongTailBBoxHead`` does."""
    hooked = any(
        isinstance(hook, AdjustedLogits)
        for layer in logits.layers
        for hook in layer._forward_hooks.values()
    )
    return hasattr(logits.head, 'adjustment') and not hooked


def _affine(rule: Rule | None, logits: ClassLogits) -> tuple[Tensor, Tensor] | None:
    """The map of a rule at test, the identity where there is none."""
    weight = logits.at_test[0].weight
    scale = torch.ones(logits.num_classes + logits.num_extra, device=weight.device)
    shift = torch.zeros_like(scale)
    for part in rule.rules if rule is not None else ():
        if part.stage == 'train':
            continue
        if not part.affine:
            return None
        outer, offset = part.affine_map()
        scale, shift = scale * outer, shift * outer + offset
    return scale.detach(), shift.detach()
