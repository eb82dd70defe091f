"""Any classification loss for images of which a part is masked."""

from __future__ import annotations

from torch import Tensor, nn


def masked_loss(
    loss: nn.Module, logits: Tensor, labels: Tensor, others: Tensor, share: Tensor
) -> Tensor:
    """``lambda L(y) + (1 - lambda) L(y')`` of each image, the mean over the images.

    y is the label, y' that of the class towards which the background that is left is pulled, and
    lambda the visible share: the L_MCE of SMCL (arXiv 2406.02223) for the cross-entropy, after its
    stated principle; details ours.

    Args:
        loss: Of MMPretrain, for labels; takes ``weight`` and ``avg_factor``.
        logits: (N, C).
        labels: y (N,).
        others: y' (N,).
        share: lambda (N,) in 0..1.
    """
    size = len(labels)
    visible = loss(logits, labels, weight=share, avg_factor=size)
    return visible + loss(logits, others, weight=1 - share, avg_factor=size)
