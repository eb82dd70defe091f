"""Cosine classifier: logits by the angle between a feature and the weight of a class."""

from __future__ import annotations

import math

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...values import check_values
from ..precision import full_precision, unit, widen


@MODELS.register_module()
class CosineLinear(nn.Linear):
    """``scale * (x / |x|) . (w_c / |w_c|)``, without bias (Gidaris and Komodakis 2018).

    A classifier whose weights have equal norms cannot prefer frequent classes by longer weights.
    For ``cls_predictor_cfg`` of any RoI head. The scale bounds the logits, so with C classes a
    probability of 0.9 needs a scale of about ``ln(9 C) / 2`` or more; 8 to 30 are in use.

    Args:
        in_features: D.
        out_features: C + 1.
        scale: Factor of the cosines, > 0; where it is learned, its start.
        learn_scale: Learn the scale as the square of a parameter, which keeps it positive.
        normalize_features: Whether features are divided by their norm.

    Raises:
        BadInputError: The scale is not positive.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scale: float = 20.0,
        learn_scale: bool = False,
        normalize_features: bool = True,
    ) -> None:
        check_values(
            'CosineLinear',
            scale=(scale, 'a number > 0'),
            learn_scale=(learn_scale, 'True or False'),
            normalize_features=(normalize_features, 'True or False'),
        )
        super().__init__(in_features, out_features, bias=False)
        self.normalize_features = normalize_features
        self.fixed_scale = None if learn_scale else float(scale)
        if learn_scale:
            self.root_scale = nn.Parameter(torch.tensor(math.sqrt(scale)))

    @property
    def scale(self) -> float | Tensor:
        """The factor of the cosines: a number, or () where it is learned."""
        return self.root_scale.square() if self.fixed_scale is None else self.fixed_scale

    def reset_parameters(self) -> None:
        """Normal weights: only their directions count."""
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (..., C + 1) of features (..., D), in float32 at least."""
        with full_precision(x):  # scaled, the steps of half precision between cosines are wide
            x = unit(x) if self.normalize_features else widen(x)
            return self.scale * F.linear(x, unit(self.weight))

    def extra_repr(self) -> str:
        return (
            f'{super().extra_repr()}, scale={float(self.scale):g}, '
            f'learned={self.fixed_scale is None}, features={self.normalize_features}'
        )
