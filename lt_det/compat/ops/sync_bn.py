"""The local parts of mmcv's synchronised batch normalisation; it sums over the processes itself.

Tensors are (N, C, L); statistics are (C,), in float32.
"""

from __future__ import annotations

from torch import Tensor

from .precision import wide


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Write the mean of each channel into ``mean``."""
    (values,) = wide(input)
    mean.copy_(values.mean((0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Write the mean squared distance from ``mean`` into ``var``."""
    (values,) = wide(input)
    var.copy_((values - mean[:, None]).square().mean((0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Normalise ``input`` into ``norm`` and ``output``, and move the running statistics.

    Args:
        mean: Of all processes; ``var`` likewise.
        weight: (C,), as are ``bias``, the running statistics (or None) and ``std``.
        norm: Buffer of the normalised input; ``std`` of what it was divided by.
        momentum: Share of the new statistics in the running ones.
        group_size: Number of processes.
    """
    (values,) = wide(input)
    std.copy_((var + eps).sqrt())
    norm.copy_((values - mean[:, None]) / std[:, None])
    output.copy_(norm * weight[:, None] + bias[:, None])
    if running_mean is not None:
        count = input.shape[0] * input.shape[2] * group_size
        unbiased = var * (count / (count - 1)) if count > 1 else var
        for running, new in ((running_mean, mean), (running_var, unbiased)):
            running.copy_(momentum * new + (1 - momentum) * running)


def sync_bn_backward_param(
    grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> None:
    """Write the gradients of weight and bias into their buffers."""
    gradient, norm = wide(grad_output, norm)
    grad_weight.copy_((gradient * norm).sum((0, 2)))
    grad_bias.copy_(gradient.sum((0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Write the gradient of the input, from those of weight and bias, into ``grad_input``."""
    gradient, norm = wide(grad_output, norm)
    count = grad_output.shape[0] * grad_output.shape[2]
    shared = (grad_weight[:, None] * norm + grad_bias[:, None]) / count
    grad_input.copy_((weight / std)[:, None] * (gradient - shared))


OPS = (
    sync_bn_forward_mean,
    sync_bn_forward_var,
    sync_bn_forward_output,
    sync_bn_backward_param,
    sync_bn_backward_data,
)
