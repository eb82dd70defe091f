"""Pictures of training images as the network gets them, and of how they were masked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.dataset import Compose

from ..datasets.saliency_mask import MaskedMultiView, SaliencyMask
from ..errors import BadInputError
from .figure_file import save_figure


def training_views(dataset, index: int) -> list[dict]:
    """Views of an item of a data set before they are packed into tensors.

    Args:
        dataset: A data set of MMEngine with a ``pipeline``.
        index: Of the item.

    Returns:
        A dict per view: ``image`` (H, W, 3) in BGR, or (H, W); where the pipeline has a
        ``SaliencyMask`` also ``saliency`` (h, w), ``masked`` like ``image``, ``box``
        (x1, y1, x2, y2 in pixels, or None) and ``share``. A mask is drawn whatever its ``prob`` is.

    Raises:
        BadInputError: The pipeline gives no image.
    """
    results = dataset.get_data_info(index)
    steps = dataset.pipeline.transforms
    for position, step in enumerate(steps):
        if isinstance(step, MaskedMultiView):
            copies = [{**results, 'img': results['img'].copy()} for _ in step.views]
            parts = zip(step.views, copies)
            return [view for part, copy in parts for view in _run(part.transforms, copy)]
        if isinstance(step, SaliencyMask) or type(step).__name__.startswith('Pack'):
            return list(_run(steps[position:], results))
        results = step(results)
    return list(_run([], results))


def _run(steps: list, results: dict) -> Iterator[dict]:
    """One view: the image before its mask, and the mask."""
    for position, step in enumerate(steps):
        if isinstance(step, SaliencyMask):
            image = results['img']
            share = np.random.beta(step.alpha, step.alpha)
            masked, box, share = step.mask(image, share)
            rest = [s for s in steps[position + 1 :] if not type(s).__name__.startswith('Pack')]
            if rest:
                masked = Compose(rest)({**results, 'img': masked})['img']
            saliency = step.saliency(image)
            yield dict(image=image, saliency=saliency, masked=masked, box=box, share=share)
            return
        if type(step).__name__.startswith('Pack'):
            break
        results = step(results)
    if 'img' not in results:
        raise BadInputError('the training pipeline gives no image (key img)')
    yield dict(image=results['img'])


def draw_views(items: list[tuple[str, list[dict]]], path: str | Path, to_rgb: bool = True) -> None:
    """One picture, a row per item: each view, and of a masked one map, box and masked image.

    Args:
        items: Title and views of each item, from :func:`training_views`.
        path: The picture, in the format of its ending.
        to_rgb: Whether images are in BGR.
    """
    columns = max(sum(3 if 'masked' in view else 1 for view in views) for _, views in items)
    size = 1.7 * columns, 1.9 * len(items)
    figure = Figure(figsize=size, layout='constrained')
    grid = figure.subplots(len(items), columns, squeeze=False)
    for axes in grid.ravel():
        axes.axis('off')
    for row, (title, views) in zip(grid, items):
        cells = iter(row)
        row[0].set_title(title, fontsize=7)
        for view in views:
            height, width = view['image'].shape[:2]
            cell = next(cells)
            _show(cell, view['image'], to_rgb)
            if 'masked' not in view:
                continue
            cell.set_xlim(-0.5, width - 0.5)
            if view['box'] is not None:
                x1, y1, x2, y2 = view['box']
                edge = dict(fill=False, edgecolor='red', linewidth=1.2)
                cell.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, **edge))
            cell = next(cells)
            cell.imshow(view['saliency'], extent=(-0.5, width - 0.5, height - 0.5, -0.5))
            cell.set_title('saliency', fontsize=7)
            cell = next(cells)
            _show(cell, view['masked'], to_rgb)
            cell.set_title(f'{view["share"]:.0%} visible', fontsize=7)
    save_figure(figure, path, dpi=110)


def _show(axes, image: np.ndarray, to_rgb: bool) -> None:
    if image.ndim == 3 and image.shape[2] == 3 and to_rgb:
        image = image[..., ::-1]
    if image.dtype != np.uint8:
        image = np.clip(image, 0, 255).astype(np.uint8)
    axes.imshow(image.squeeze(), cmap='gray')
