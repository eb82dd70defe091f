"""CARAFE (arXiv 1905.02188): upsampling by a kernel of its own for every place of the output.

Output (n, c, y, x) is the sum over the k x k window around (y // s, x // s) of the features, each
times ``masks[n, g * k * k + i, y, x]``; g is the group of channel c, and i the place in the window.
The window is walked in k * k steps, which takes memory for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from .precision import wide


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Reassemble ``features`` (N, C, H, W) into ``output`` (N, C, s * H, s * W).

    Args:
        masks: (N, G * k * k, s * H, s * W).
        kernel_size: k, odd.
        group_size: G, the number of groups of channels.
        scale_factor: s.
    """
    features, masks = wide(features, masks)
    kernels = _kernels(masks, kernel_size, group_size, scale_factor)
    total = _parts(output.new_zeros(output.shape, dtype=features.dtype), group_size, scale_factor)
    for i, (window, _) in enumerate(_windows(features, kernel_size, group_size)):
        total.addcmul_(window[..., None, :, None], kernels[:, :, i, None])
    output.copy_(total.view(output.shape))


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Gradients of :func:`carafe_naive_forward`, written into the buffers of both."""
    gradient, features, masks = wide(grad_output, features, masks)
    gradient = _parts(gradient, group_size, scale_factor)
    kernels = _kernels(masks, kernel_size, group_size, scale_factor)
    by_kernels = kernels.new_zeros(kernels.shape)
    margin = kernel_size // 2
    padded = F.pad(features.new_zeros(features.shape), [margin] * 4)
    per_group = features.shape[1] // group_size
    by_features = padded.view(len(features), group_size, per_group, *padded.shape[2:])
    for i, (window, place) in enumerate(_windows(features, kernel_size, group_size)):
        by_features[place] += (gradient * kernels[:, :, i, None]).sum((4, 6))
        by_kernels[:, :, i] = (gradient * window[..., None, :, None]).sum(2)
    height, width = features.shape[2:]
    grad_input.copy_(padded[:, :, margin : margin + height, margin : margin + width])
    grad_masks.copy_(by_kernels.view(grad_masks.shape))


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """:func:`carafe_naive_forward`; ``rfeatures`` is what mmcv keeps for the backward pass."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Gradients of :func:`carafe_forward`."""
    carafe_naive_backward(
        grad_output,
        rfeatures,
        masks,
        grad_input,
        grad_masks,
        kernel_size,
        group_size,
        scale_factor,
    )


def _parts(output: Tensor, groups: int, scale: int) -> Tensor:
    """(N, C, s * H, s * W) as (N, G, C / G, H, s, W, s)."""
    batch, channels, height, width = output.shape
    shape = (height // scale, scale, width // scale, scale)
    return output.view(batch, groups, channels // groups, *shape)


def _kernels(masks: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """Masks as (N, G, k * k, H, s, W, s)."""
    return _parts(masks.contiguous(), groups, scale)


def _windows(features: Tensor, kernel_size: int, groups: int) -> Iterator[tuple[Tensor, tuple]]:
    """Features (N, G, C / G, H, W) moved to each place of the window, and where they came from."""
    batch, channels, height, width = features.shape
    padded = F.pad(features, [kernel_size // 2] * 4)
    padded = padded.view(batch, groups, channels // groups, *padded.shape[2:])
    for down in range(kernel_size):
        for across in range(kernel_size):
            place = (..., slice(down, down + height), slice(across, across + width))
            yield padded[place], place


OPS = (carafe_naive_forward, carafe_naive_backward, carafe_forward, carafe_backward)
