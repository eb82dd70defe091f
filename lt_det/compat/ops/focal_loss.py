"""Focal loss (arXiv 1708.02002) over independent sigmoids and over a softmax, with gradients.

``target`` holds a class per row. In the sigmoid loss, a label outside the classes is background.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import wide

BLOCK = 1 << 22  # elements at a time: the losses of many classes are large, what they need is not


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the losses of logits ``input`` (N, C) into ``output`` (N, C).

    With p the sigmoid of a logit, the loss is -alpha (1 - p)^gamma log p at the label, and
    -(1 - alpha) p^gamma log(1 - p) elsewhere.

    Args:
        target: (N,) labels.
        weight: (C,) weights of the rows by their label (1 for the background), or empty.
    """

    def loss(logits: Tensor) -> Tensor:
        return -torch.sigmoid(-logits).pow(gamma) * F.logsigmoid(logits)

    for rows in _blocks(input):
        (logits,) = wide(input[rows])
        at, is_class = _places(target[rows], logits)
        losses = (1 - alpha) * loss(-logits)
        positive = alpha * loss(logits.gather(1, at))
        _write(output[rows], losses, at, is_class, positive, weight)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivatives of :func:`sigmoid_focal_loss_forward` into ``grad_input`` (N, C)."""

    def derivative(logits: Tensor) -> Tensor:
        p, rest = torch.sigmoid(logits), torch.sigmoid(-logits)
        return -rest.pow(gamma) * (rest - gamma * p * F.logsigmoid(logits))

    for rows in _blocks(input):
        (logits,) = wide(input[rows])
        at, is_class = _places(target[rows], logits)
        derivatives = (alpha - 1) * derivative(-logits)
        positive = alpha * derivative(logits.gather(1, at))
        _write(grad_input[rows], derivatives, at, is_class, positive, weight)


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write -alpha (1 - p)^gamma log p into ``output`` (N,), p = ``input[n, target[n]]``.

    Args:
        input: (N, C) probabilities.
        target: (N,) labels; rows of a negative label have no loss.
        weight: (C,) weights of the labels, or empty.
    """
    p, weights = _probabilities(input, target, weight)
    output.copy_(-alpha * weights * (1 - p).pow(gamma) * _log(p))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivatives by the logits behind ``input`` into ``grad_input`` (N, C)."""
    p, weights = _probabilities(input, target, weight)
    slope = gamma * (1 - p).pow(gamma - 1) * p * _log(p) - (1 - p).pow(gamma)
    scale = alpha * weights * slope  # times dp/dz / p
    buff.copy_(scale)
    (gradient,) = wide(input)
    gradient = -gradient * scale[:, None]
    gradient.scatter_add_(1, target.clamp(min=0)[:, None], scale[:, None])
    grad_input.copy_(gradient)


def _blocks(table: Tensor) -> Iterator[slice]:
    """Slices of the rows, of about BLOCK elements each."""
    step = max(1, BLOCK // max(1, table.shape[1]))
    return (slice(start, start + step) for start in range(0, len(table), step))


def _places(target: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Columns (N, 1) of the labels, and whether each label is a class (N, 1)."""
    classes = logits.shape[1]
    target = target[:, None]
    return target.clamp(0, classes - 1), (target >= 0) & (target < classes)


def _write(
    buffer: Tensor,
    values: Tensor,
    at: Tensor,
    is_class: Tensor,
    positive: Tensor,
    weight: Tensor,
) -> None:
    """Put ``positive`` at the labels into ``values``, weigh the rows, copy to ``buffer``."""
    values.scatter_(1, at, torch.where(is_class, positive, values.gather(1, at)))
    if weight.numel():
        weights = weight.to(values.dtype)[at]
        values *= torch.where(is_class, weights, torch.ones_like(weights))
    buffer.copy_(values)


def _probabilities(input: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Probability and weight of each label (N,), the weight 0 where the label is negative."""
    label = target.clamp(min=0)
    (p,) = wide(input.gather(1, label[:, None])[:, 0])
    weights = weight.to(p.dtype)[label] if weight.numel() else torch.ones_like(p)
    return p, weights * (target >= 0)


def _log(p: Tensor) -> Tensor:
    """Logarithm, finite at 0 as in the compiled op."""
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()


OPS = (
    sigmoid_focal_loss_forward,
    sigmoid_focal_loss_backward,
    softmax_focal_loss_forward,
    softmax_focal_loss_backward,
)
