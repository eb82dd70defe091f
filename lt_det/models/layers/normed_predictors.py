"""MMDetection's normalised predictors with a temperature that can be learned."""

from __future__ import annotations

import math

import torch
from mmdet.models.layers import normed_predictor
from mmdet.registry import MODELS
from torch import Tensor, nn

from ...values import check_values
from ..precision import full_precision
from .temperature import choose_temperature


class _Temperature:
    """Adds to a predictor what MMDetection's lacks: see :class:`NormedConv2d`."""

    def __init__(
        self,
        *args,
        temperature: float | None = None,
        tempearture: float | None = None,
        learn_temperature: bool = False,
        **kwargs,
    ) -> None:
        start = choose_temperature(
            type(self).__name__, 20.0, temperature=temperature, tempearture=tempearture
        )
        super().__init__(*args, **kwargs)
        check_values(
            type(self).__name__,
            power=(getattr(self, 'power', 1.0), 'a number > 0'),
            eps=(getattr(self, 'eps', 1e-6), 'a number > 0'),
            learn_temperature=(learn_temperature, 'True or False'),
        )
        self.temperature = start
        if learn_temperature:
            self.root_temperature = nn.Parameter(torch.tensor(math.sqrt(start)))

    @property
    def temperature(self) -> float | Tensor:
        """The factor of the cosines: a number, or () where it is learned."""
        if 'root_temperature' in self._parameters:
            return self.root_temperature.square()
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._temperature = value

    tempearture = temperature  # as the layers of MMDetection 3.3 and older call it


# in place of MMDetection's own, so that its heads, and configs that name these types, get them
@MODELS.register_module(force=True)
class NormedLinear(_Temperature, normed_predictor.NormedLinear):
    """MMDetection's ``NormedLinear`` with the arguments of :class:`NormedConv2d`.

    Logits have the precision of the weights: autocast would round them, up to the temperature, as
    coarsely as 1/16. The mask logits of NormedConv2d go through sigmoids, which are flat there.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Logits (..., C + 1) of features (..., D)."""
        with full_precision(x):
            return super().forward(x.to(torch.promote_types(x.dtype, self.weight.dtype)))


@MODELS.register_module(force=True)
class NormedConv2d(_Temperature, normed_predictor.NormedConv2d):
    """MMDetection's ``NormedConv2d``, for ``predictor_cfg`` of mask heads.

    Keys in the checkpoint are the same, but for ``root_temperature`` where it is learned.

    Args:
        *args, **kwargs: Those of MMDetection's layer.
        temperature: Factor of the cosines, > 0; where it is learned, its start. Default: 20.
        tempearture: The same in the spelling of MMDetection 2.x.
        learn_temperature: Learn it as the square of a parameter, which keeps it positive.

    Raises:
        BadInputError: The temperature is not positive, or given in both spellings.
    """
