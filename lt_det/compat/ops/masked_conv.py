"""The columns of a convolution that is computed at chosen places alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write the windows of ``im`` (1, D, H, W) at P places into ``col`` (D * kh * kw, P).

    Args:
        mask_h_idx: (P,) rows of the output at which the windows are taken.
        mask_w_idx: (P,) columns.
    """
    padded = F.pad(im[0], (pad_w, pad_w, pad_h, pad_h))
    down = torch.arange(kernel_h, device=im.device).view(-1, 1, 1)
    across = torch.arange(kernel_w, device=im.device).view(-1, 1)
    col.copy_(padded[:, mask_h_idx + down, mask_w_idx + across].reshape(col.shape))


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write ``col`` (D, P) into ``im`` (1, D, H, W) at the P places."""
    im[0, :, mask_h_idx, mask_w_idx] = col.to(im.dtype)


OPS = (masked_im2col_forward, masked_col2im_forward)
