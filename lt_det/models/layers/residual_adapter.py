"""A linear adapter beside a residual connection, which starts as the identity."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...values import check_values


class ResidualAdapter(nn.Module):
    """``r W u + (1 - r) u`` for features u (..., D) (BALLAD, Ma et al., arXiv 2111.14745, phase B).

    W (D, D) has no bias and starts as the identity, so that an untrained adapter changes nothing.

    Args:
        channels: D.
        ratio: r, in [0, 1]; the authors' code has 0.2.

    Raises:
        BadInputError: ``ratio`` outside [0, 1].
    """

    def __init__(self, channels: int, ratio: float = 0.2) -> None:
        super().__init__()
        check_values('model', ratio=(ratio, 'a number in [0, 1]'))
        self.ratio = ratio
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Adapted features, of the shape of ``features`` (..., D)."""
        return self.ratio * F.linear(features, self.weight) + (1 - self.ratio) * features

    def extra_repr(self) -> str:
        return f'channels={len(self.weight)}, ratio={self.ratio}'
