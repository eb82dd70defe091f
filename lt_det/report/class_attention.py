"""Pictures of where a CAM-calibrated classifier looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from .figure_file import save_figure


def draw_class_attention(
    images: Sequence[np.ndarray],
    attention: Sequence[np.ndarray],
    titles: Sequence[str],
    path: str | Path,
) -> None:
    """One picture, a column per image: the image above, the attention over it below.

    Args:
        images: RGB, uint8 (H, W, 3) each.
        attention: (h, w) each, mean 1; drawn up to 3, three times the mean.
        titles: One an image.
        path: The picture, in the format of its ending.
    """
    figure = Figure(figsize=(1.8 * len(images), 4.0), layout='constrained')
    grid = figure.subplots(2, len(images), squeeze=False)
    for (upper, lower), image, weights, title in zip(grid.T, images, attention, titles):
        size = image.shape[1], image.shape[0]
        smooth = cv2.resize(np.asarray(weights, np.float32), size, interpolation=cv2.INTER_CUBIC)
        upper.imshow(image)
        upper.set_title(title, fontsize=7)
        lower.imshow(image.mean(axis=2), cmap='gray', vmin=0, vmax=255)
        lower.imshow(smooth, cmap='inferno', alpha=0.6, vmin=0, vmax=3)
        upper.axis('off')
        lower.axis('off')
    save_figure(figure, path, dpi=120)
