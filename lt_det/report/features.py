"""Pictures of what a classifier makes of rare classes: its features in two dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from ..errors import BadInputError
from .figure_file import save_figure


@torch.no_grad()
def features_of(
    model: nn.Module, batches: Iterable[dict], classes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """What the classifier of an MMPretrain model reads, for the images of some classes.

    Args:
        model: An ImageClassifier in evaluation mode.
        batches: As a data loader gives them.
        classes: Labels of the wanted images.

    Returns:
        Features (N, E) and labels (N,).

    Raises:
        BadInputError: No image is of these classes.
    """
    features, labels = [], []
    wanted = np.asarray(classes)
    for batch in batches:
        data = model.data_preprocessor(batch)
        label = torch.cat([sample.gt_label for sample in data['data_samples']]).cpu().numpy()
        chosen = np.isin(label, wanted)
        if chosen.any():
            images = data['inputs'][torch.from_numpy(chosen)]
            found = model.extract_feat(images, stage='pre_logits')
            features.append(found.float().cpu().numpy())
            labels.append(label[chosen])
    if not features:
        raise BadInputError(f'no image is of the classes {wanted.tolist()}')
    return np.concatenate(features), np.concatenate(labels)


def tsne(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Two dimensions (N, 2) of features (N, E) by t-SNE of their directions.

    Van der Maaten and Hinton, Journal of Machine Learning Research 9, 2008; scikit-learn's.

    Raises:
        BadInputError: scikit-learn is not installed, or there are fewer than 4 features.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise BadInputError('t-SNE needs scikit-learn: pip install scikit-learn') from error
    if len(features) < 4:
        raise BadInputError(f't-SNE needs at least 4 images, there are {len(features)}')
    perplexity = min(30, (len(features) - 1) / 3)
    method = TSNE(perplexity=perplexity, metric='cosine', init='random', random_state=seed)
    return method.fit_transform(features.astype(np.float64))


def draw_features(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    class_names: Sequence[str],
    path: str | Path,
) -> None:
    """Points of one or more models side by side, a colour per class.

    Args:
        panels: By title, points (N, 2) and labels (N,).
        class_names: C names by label.
        path: The picture, in the format of its ending.
    """
    figure = Figure(figsize=(5 * len(panels) + 2.5, 5), layout='constrained')
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    shown = sorted({int(label) for _, labels in panels.values() for label in labels})
    colours = matplotlib.colormaps['tab20'].colors
    for axes, (title, (points, labels)) in zip(grid, panels.items()):
        for index, label in enumerate(shown):
            chosen = points[labels == label]
            name = class_names[label]
            axes.scatter(*chosen.T, s=14, color=colours[index % len(colours)], label=name)
        axes.set(title=title, xticks=[], yticks=[])
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc='outside right upper', frameon=False, fontsize=8)
    save_figure(figure, path, dpi=130)
