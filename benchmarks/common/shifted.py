"""Random crops of images in memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shifted(images: Tensor, places: list[list[int]], pad: int) -> Tensor:
    """Crops (B, 3, S, S) of images padded by ``pad`` pixels of reflection, at places (y, x)."""
    side = images.shape[-1]
    padded = F.pad(images, (pad,) * 4, mode='reflect')
    rows = zip(padded, places, strict=True)
    return torch.stack([row[:, y : y + side, x : x + side] for row, (y, x) in rows])
