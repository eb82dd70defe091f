"""Projection head and class centres of balanced contrastive learning."""

from __future__ import annotations

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..losses.balanced_contrastive_loss import Membership


class ContrastiveBranch(nn.Module):
    """Embeddings of features, class centres from the weights of the classifier, and their loss.

    Two perceptrons with one hidden layer (Zhu et al., arXiv 2207.09052, figure 3): one for the
    features, one for the class weights.

    Args:
        in_channels: D.
        hidden_channels: Of both perceptrons. Default: D.
        out_channels: d.
        centres: Whether there are class centres (class complement).
        loss: Config of the loss.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int | None = None,
        out_channels: int = 128,
        centres: bool = True,
        loss: dict | None = None,
    ) -> None:
        super().__init__()
        sizes = in_channels, hidden_channels or in_channels, out_channels
        self.project = perceptron(*sizes)
        self.to_centres = perceptron(*sizes) if centres else None
        self.loss = MODELS.build(loss or dict(type='BalancedContrastiveLoss'))

    def forward(self, features: Tensor, membership: Tensor | Membership, weights: Tensor) -> Tensor:
        """Loss () of features (N, D) with shares in the classes of weights (C, D)."""
        centres = None if self.to_centres is None else self.to_centres(weights)
        return self.loss(self.project(features), membership, centres)


def perceptron(in_channels: int, hidden_channels: int, out_channels: int) -> nn.Sequential:
    """Linear, BN, ReLU, linear."""
    return nn.Sequential(
        nn.Linear(in_channels, hidden_channels, bias=False),
        nn.BatchNorm1d(hidden_channels),
        nn.ReLU(inplace=True),
        nn.Linear(hidden_channels, out_channels),
    )
