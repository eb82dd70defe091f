"""Deformable convolution (arXiv 1703.06211) and its modulated form (1811.11168) by torchvision.

A tap that is moved to nowhere, by an offset that is no number, reads 0 as in the compiled op;
torchvision would read what lies outside its memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .precision import wide

FAR = 1e9  # outside every map
# mmcv's names of what torchvision wants, in its order
PLAIN = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
MODULATED = ('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w')
MODULATED += ('group', 'deformable_group')


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    """Convolve ``input`` (B, C, H, W), each tap moved by ``offset``, into ``output`` (B, D, h, w).

    Args:
        weight: (D, C / group, kH, kW).
        offset: (B, deformable_group * kH * kW * 2, h, w), down before right.
    """
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Gradients by ``input`` and ``offset``, written into their buffers.

    torchvision gives all gradients at once. That of the weight is left in ``columns``, which mmcv
    passes on to :func:`deform_conv_backward_parameters`.
    """
    gradients = _gradients(gradOutput, input, weight, offset, None, None, geometry)
    gradInput.copy_(gradients[0])
    gradOffset.copy_(gradients[2])
    columns.resize_(weight.shape).copy_(gradients[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **geometry: int,
) -> None:
    """Gradient by the weight times ``scale``, written into its buffer."""
    if columns.shape != gradWeight.shape:
        gradients = _gradients(gradOutput, input, gradWeight, offset, None, None, geometry)
        columns = gradients[1]
    gradWeight.copy_(columns * scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """As :func:`deform_conv_forward`, with each tap times ``mask``, (B, groups * kh * kw, h, w).

    Offsets and masks may be those of a larger map: the compiled op takes the memory of each image
    as if it had the size of the output, and DyHead has been trained with what comes of it.
    """
    bias = bias if with_bias else None
    offset, mask = (_as_of_size(tensor, output.shape[2:]) for tensor in (offset, mask))
    output.copy_(_convolve(input, weight, offset, mask, bias, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Gradients of :func:`modulated_deform_conv_forward`, written into their buffers."""
    buffers = (grad_input, grad_weight, grad_offset, grad_mask)
    if with_bias:
        buffers += (grad_bias,)
    else:
        bias = None
    offset, mask = (_as_of_size(tensor, grad_output.shape[2:]) for tensor in (offset, mask))
    gradients = _gradients(grad_output, input, weight, offset, mask, bias, geometry)
    for buffer, gradient in zip(buffers, gradients):
        if gradient.shape == buffer.shape:
            buffer.copy_(gradient)
        else:  # of a larger map: the rest of it has not been read
            padding = (0, buffer[0].numel() - gradient[0].numel())
            buffer.copy_(F.pad(gradient.flatten(1), padding).view(buffer.shape))


def _as_of_size(tensor: Tensor, size: torch.Size) -> Tensor:
    """The first elements of each image of (B, D, H, W) as (B, D, *size), if there are so many."""
    batch, channels = tensor.shape[:2]
    count = channels * size.numel()
    if tensor.shape[2:] == size or tensor[0].numel() < count:
        return tensor
    return tensor.flatten(1)[:, :count].reshape(batch, channels, *size)


def _convolve(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: dict[str, int],
) -> Tensor:
    tensors = _arguments(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *_ordered(geometry), mask is not None)


def _gradients(
    gradient: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: dict[str, int],
) -> tuple[Tensor, ...]:
    """Gradients by input, weight, offset, mask and bias."""
    tensors = _arguments(input, weight, offset, mask, bias)
    gradient = gradient.to(tensors[0].dtype)
    return torch.ops.torchvision._deform_conv2d_backward(
        gradient, *tensors, *_ordered(geometry), mask is not None
    )


def _ordered(geometry: dict[str, int]) -> list[int]:
    """Stride, padding, dilation (down and across) and groups, as torchvision wants them."""
    names = PLAIN if 'dH' in geometry else MODULATED
    return [geometry[name] for name in names]


def _arguments(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """What torchvision takes, in one type: no mask is an empty one, no bias is zeros."""
    if mask is None:
        mask = input.new_zeros(len(input), 1)
    if bias is None:
        bias = input.new_zeros(len(weight))
    offset = offset.to(torch.promote_types(offset.dtype, torch.float32))
    offset = offset.nan_to_num(FAR, FAR, -FAR)
    return wide(input, weight, offset, mask, bias)


OPS = (
    deform_conv_forward,
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    modulated_deform_conv_forward,
    modulated_deform_conv_backward,
)
