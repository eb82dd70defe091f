"""Plots of a classifier's accuracy against training frequency and against its confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.classification import Reliability
from ..frequency import SHOT_BOUNDS
from .figure_file import save_figure
from .plots import plot_by_frequency

SHOT_COLOURS = {'many': '#1f6fb4', 'medium': '#e69f00', 'few': '#c0392b'}


def plot_accuracy_by_frequency(per_class: Sequence[dict], path: str | Path) -> None:
    """Accuracy of each class against its training images, with the mean of each group.

    Args:
        per_class: A dict per class with ``frequency`` (many, medium or few), ``image_count`` and
            ``accuracy`` (-1: no image, left out).
        path: The picture, in the format of its ending.
    """
    plot_by_frequency(
        [row for row in per_class if row['accuracy'] >= 0],
        'accuracy',
        path,
        SHOT_COLOURS,
        SHOT_BOUNDS,
        names={group: f'{group}:' for group in SHOT_COLOURS},
        ylabel='accuracy',
        title='accuracy by training frequency',
    )


def plot_reliability(found: Mapping[str, Reliability], path: str | Path) -> None:
    """Reliability diagrams side by side: accuracy of the predictions in each bin of confidence.

    Args:
        found: By name of the panel; those without data are left out.
        path: The picture, in the format of its ending.
    """
    shown = {name: one for name, one in found.items() if one.count.sum()}
    figure = Figure(figsize=(3.2 * max(len(shown), 1), 3.6), layout='constrained')
    panels = figure.subplots(1, max(len(shown), 1), squeeze=False, sharey=True)[0]
    for axes, (name, one) in zip(panels, shown.items()):
        width = 1 / len(one.count)
        left = np.arange(len(one.count)) * width
        used = one.count > 0
        colour = SHOT_COLOURS.get(name, '0.35')
        axes.bar(left[used], one.accuracy[used], width, align='edge', color=colour, alpha=0.8)
        gap = (one.confidence - one.accuracy)[used]
        axes.bar(
            left[used], gap, width, one.accuracy[used], align='edge', fill=False,
            edgecolor='0.3', linewidth=0.6, hatch='///',
        )  # fmt: skip
        axes.plot([0, 1], [0, 1], color='black', linewidth=1, linestyle='--')
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel='confidence',
            title=f'{name}: ECE {one.calibration_error:.3f}',
        )
    panels[0].set_ylabel('accuracy')
    save_figure(figure, path, dpi=150)
