"""The forward hook that puts an adjustment behind the classifiers of a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...adjustments import ComposedAdjustment, LogitAdjustment
from ...protocols import TakesClassifier
from .class_logits import ClassLogits


class AdjustedLogits:
    """Adjusts what a classifier computes, before anything else reads it.

    An object rather than a function: a deep copy of the detector (EMA, teachers) has hooks that
    refer to its own adjustment. Rules at test alone act where the scores of detections come from,
    rules in training, or both, on the logits of all layers: what ranks proposals is left alone.

    Args:
        adjustment: Of the head.
        logits: Of the head.
        layer: The one that the hook is for.
    """

    def __init__(
        self,
        adjustment: LogitAdjustment | ComposedAdjustment,
        logits: ClassLogits,
        layer: nn.Module,
    ) -> None:
        self.adjustment = adjustment
        self.at_test = any(layer is other for other in logits.at_test)
        self.convolution = isinstance(layer, nn.Conv2d)
        self.classifiers = logits.at_test
        self.channels = logits.num_classes + logits.num_extra

    def __call__(self, layer: nn.Module, args: tuple, output: Tensor) -> Tensor:
        dim = 1 if self.convolution else -1
        for rule in self.adjustment.rules:
            if rule.active and (self.at_test or rule.stage != 'test'):
                # each time anew: an optimizer or an average may have changed the weights unseen
                if isinstance(rule, TakesClassifier) and layer is self.classifiers[0]:
                    rule.set_classifier(*class_weights(self.classifiers, self.channels))
                # the output of a convolution is its own and can be overwritten
                output = rule(output, dim, inplace=self.convolution)
        return output


@torch.no_grad()
def class_weights(layers: tuple[nn.Module, ...], channels: int) -> tuple[Tensor, Tensor | None]:
    """Weights whose norm is that of a class, and its bias.

    Where a class has several rows, of anchors and levels, the norm is their root mean square and
    the bias their mean, so that a class has one of each.

    Args:
        layers: Linear or convolutional, with A K channels each.
        channels: K.

    Returns:
        (K, D') and (K,), or None where the layers have no bias.
    """
    rows = sum(len(layer.weight) // channels for layer in layers)
    weights = [_by_class(layer.weight.flatten(1), channels) for layer in layers]
    weight = torch.cat([each.flatten(1) for each in weights], 1) / rows**0.5
    if layers[0].bias is None:
        return weight, None
    bias = torch.cat([_by_class(layer.bias[:, None], channels)[..., 0] for layer in layers], 1)
    return weight, bias.mean(1)


def _by_class(rows: Tensor, channels: int) -> Tensor:
    """(A K, D) to (K, A, D)."""
    return rows.unflatten(0, (-1, channels)).transpose(0, 1)
