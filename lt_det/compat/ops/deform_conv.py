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


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Convolve ``input`` (B, C, H, W), each tap moved by ``offset``, into ``output`` (B, D, h, w).

    Args:
        weight: (D, C / group, kH, kW).
        offset: (B, deformable_group * kH * kW * 2, h, w), down before right.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Gradients by ``input`` and ``offset``, written into their buffers.

    torchvision gives all gradients at once. That of the weight is left in ``columns``, which mmcv
    passes on to :func:`deform_conv_backward_parameters`.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
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
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Gradient by the weight times ``scale``, written into its buffer."""
    if columns.shape != gradWeight.shape:
        geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
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
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """As :func:`deform_conv_forward`, with each tap times ``mask``, (B, groups * kh * kw, h, w).

    Offsets and masks may be those of a larger map: the compiled op takes the memory of each image
    as if it had the size of the output, and DyHead has been trained with what comes of it.
    """
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
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
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Gradients of :func:`modulated_deform_conv_forward`, written into their buffers."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
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
    geometry: tuple[int, ...],
) -> Tensor:
    tensors = _arguments(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, mask is not None)


def _gradients(
    gradient: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """Gradients by input, weight, offset, mask and bias."""
    tensors = _arguments(input, weight, offset, mask, bias)
    gradient = gradient.to(tensors[0].dtype)
    return torch.ops.torchvision._deform_conv2d_backward(
        gradient, *tensors, *geometry, mask is not None
    )


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
