"""Contrastive loss between images and texts of a batch, where classes repeat."""

from __future__ import annotations

from torch import Tensor

from ..precision import widen


def class_contrastive_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Symmetric contrastive loss whose positives are all pairs of one class.

    The form in which BALLAD words its first phase (Ma et al., arXiv 2111.14745): with logits s_ij
    of image i and the text of image j, and P_i = {j: y_j = y_i}::

        L = -1/2B sum_i 1/|P_i| sum_{j in P_i} [log softmax_j(s_i.) + log softmax_j(s_.i)]

    With B different classes this is CLIP's loss (Radford et al., arXiv 2103.00020, figure 3).

    Args:
        logits: (B, B), scaled similarities of images (rows) and texts (columns).
        labels: (B,).

    Returns:
        Scalar.
    """
    logits = widen(logits)
    positive = (labels[:, None] == labels).to(logits.dtype)
    target = positive / positive.sum(1, keepdim=True)
    rows = (target * logits.log_softmax(1)).sum(1).mean()
    columns = (target * logits.T.log_softmax(1)).sum(1).mean()
    return -(rows + columns) / 2
