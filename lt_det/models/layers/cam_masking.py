"""Masks images where the model itself sees their class."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...datasets.saliency_mask import check_mask_arguments


@MODELS.register_module()
class CAMMasking(nn.Module):
    """:class:`~lt_det.datasets.saliency_mask.SaliencyMask` on the device, from activation maps.

    Boxes are drawn in the same way, about the place where the map is largest.

    Args:
        prob: Probability that an image is masked.
        alpha: Of ``lambda ~ Beta(alpha, alpha)``.
        fill: What the box is filled with: a number (0 is the mean of normalised images), or
            ``'background'``: the pixels of the image that lie half its sides away.

    Raises:
        BadInputError: A number outside its range, or unknown ``fill``.
    """

    def __init__(self, prob: float = 0.5, alpha: float = 1.0, fill: float | str = 0.0) -> None:
        super().__init__()
        check_mask_arguments('masking', prob, alpha, fill)
        self.prob = prob
        self.alpha = alpha
        self.fill = fill

    @torch.no_grad()
    def forward(self, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Masked images (B, channels, H, W) and their visible shares (B,).

        Args:
            images: (B, channels, H, W), normalised.
            maps: (B, h, w), larger is more salient.
        """
        shape = maps.new_full((2, len(maps)), self.alpha, dtype=torch.float32)
        share = torch.distributions.Beta(*shape, validate_args=False).sample()
        flat = maps.flatten(1)
        masked = torch.rand_like(share) < self.prob
        masked &= flat.amax(1) > flat.amin(1)  # else nothing is salient
        inside = box_mask(flat.argmax(1), tuple(maps.shape[1:]), tuple(images.shape[2:]), share)
        inside &= masked[:, None, None]
        visible = 1 - inside.float().mean((1, 2))
        if self.fill != 'background':
            return images.masked_fill(inside[:, None], self.fill), visible
        opposite = images.roll((images.shape[2] // 2, images.shape[3] // 2), (2, 3))
        return torch.where(inside[:, None], opposite, images), visible


def box_mask(place: Tensor, grid: tuple[int, int], size: tuple[int, int], share: Tensor) -> Tensor:
    """Which pixels are in the boxes of :func:`~lt_det.datasets.saliency_mask.masked_box`.

    Args:
        place: (B,) index into a map of the shape ``grid``: the centre.
        grid: (h, w).
        size: (H, W).
        share: (B,) in 0..1.

    Returns:
        Boolean (B, H, W).
    """
    cell = place // grid[1], place % grid[1]
    ratio = (1 - share).sqrt()
    sides = []
    for index, cells, pixels in zip(cell, grid, size):
        centre = (2 * index + 1) * pixels // (2 * cells)
        length = (pixels * ratio).long()
        start = centre - length // 2
        at = torch.arange(pixels, device=place.device)
        sides.append((at >= start[:, None]) & (at < (start + length)[:, None]))
    return sides[0][:, :, None] & sides[1][:, None, :]
