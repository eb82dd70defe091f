"""FRACAL: calibration by class frequency and by where a class lies in the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..values import check_values
from .base import LogitAdjustment, along, register_adjustment
from .counts import COUNTS, at_least_one, class_counts


@register_adjustment
class FRACAL(LogitAdjustment):
    """``z_c + log10(N / n_c) - log10(C) - lam ln(Phi_c)`` on the foreground (CVPR 2025).

    The softmax of it is the calibration of Alexandridis et al.: the frequency term is added to the
    logits, foreground probabilities are divided by ``Phi_c ** lam``, the background is left alone,
    and all is renormalised. Phi_c is the box-counting dimension of the class in the training set
    (:func:`lt_det.adjustments.box_dimension.box_counting_dimension`), which ClassFrequencyHook
    brings; the checkpoint carries it. A class without samples counts as one with a single sample.

    Where the scores are independent sigmoids, the authors' code multiplies two of them::

        sigmoid(z) sigmoid(z + s),   s = log10(N / n_c) - log10(C) - log10(Phi_c ** lam / mean)

    with the mean of ``Phi ** lam`` over the classes. The logit of that product is not affine in z
    (its slope falls from 2 to 1), so it cannot be folded into a classifier.

    Args:
        lam: Strength of the dimension, >= 0.
        count: ``'image'`` or ``'instance'``, of n_c and N.
        dimension: (C,) Phi_c, where no hook brings them; they are in force whatever a checkpoint
            has.
        stage: The method is post-hoc, hence ``'test'``.

    Attributes:
        dimension: Buffer (C,).

    Raises:
        BadInputError: ``lam`` is no number >= 0, ``count`` is unknown, or dimensions are not (C,)
            positive numbers.
    """

    dimension: Tensor
    needs_background = True
    multiplies = False
    data_buffers = (*LogitAdjustment.data_buffers, 'dimension')

    def __init__(
        self,
        lam: float = 2.0,
        count: str = 'image',
        dimension: Sequence[float] | None = None,
        stage: str = 'test',
        **kwargs: Any,
    ) -> None:
        super().__init__(stage=stage, **kwargs)
        check_values('adjustment', lam=(lam, 'a finite number >= 0'), count=(count, COUNTS))
        self.lam = lam
        self.count = count
        self.has_dimension = False
        self._given = None if dimension is None else self._checked(dimension)
        self.register_buffer('dimension', torch.ones(self.num_classes, dtype=torch.float64))
        if self._given is not None:
            self.set_box_dimension(self._given)

    @property
    def affine(self) -> bool:
        return self.activation == 'softmax'

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        n, total = class_counts(frequency, self.count)
        n = at_least_one(n, frequency)
        shift = np.log10(max(total, 1) / n) - np.log10(self.num_classes)
        dimension = self.dimension.cpu().numpy()
        if self.activation == 'softmax':
            shift = shift - self.lam * np.log(dimension)
        else:
            power = dimension**self.lam
            shift = shift - np.log10(power / power.mean())
        return np.ones_like(shift), shift

    def adjusted(self, logits: Tensor, dim: int, inplace: bool) -> Tensor:
        if self.affine:
            return super().adjusted(logits, dim, inplace)
        # p = sigmoid(z) sigmoid(z + s) has the odds 1 / (e^-z + e^-(z + s) + e^-(2 z + s))
        shift = along(self.shift, logits, dim)
        softplus = torch.nn.functional.softplus
        product = logits - softplus(-shift) - softplus(-(logits + softplus(shift)))
        if len(self.shift) == self.num_classes:
            return product
        label = torch.arange(len(self.shift), device=shift.device)
        return torch.where(along(label < self.num_classes, logits, dim), product, logits)

    def set_box_dimension(self, dimension: np.ndarray) -> None:
        """Take over Phi (C,), all > 0."""
        self.dimension.copy_(torch.from_numpy(self._checked(dimension)))
        self.has_dimension = True
        if self.num_images.item():
            self.set_class_frequency(self.frequency)

    def _checked(self, dimension: Sequence[float] | np.ndarray) -> np.ndarray:
        """``dimension`` (C,) in float64, where it is one."""
        try:
            phi = np.asarray(dimension, np.float64)
        except (TypeError, ValueError):
            phi = np.zeros(0)
        if phi.shape != (self.num_classes,) or not (np.isfinite(phi) & (phi > 0)).all():
            raise BadInputError(
                f'adjustment.dimension is {dimension!r:.200} ({phi.size} numbers), expected '
                f'{self.num_classes} finite numbers > 0'
            )
        return phi

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        super().set_class_frequency(frequency)
        self.has_frequency = self.has_dimension

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # that of a model with another rule has the counts, but no dimensions
        self.has_dimension = self.has_dimension or f'{prefix}dimension' in state_dict
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if self._given is not None:
            self.set_box_dimension(self._given)
        self.has_frequency = self.has_frequency and self.has_dimension

    def extra_repr(self) -> str:
        return f'lam={self.lam}, count={self.count}, stage={self.stage}'
