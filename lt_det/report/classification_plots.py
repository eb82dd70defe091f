"""Plots of a classifier's accuracy against training frequency and against its confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.classification import Reliability
from ..frequency import SHOT_BOUNDS

SHOT_COLOURS = {'many': '#1f6fb4', 'medium': '#e69f00', 'few': '#c0392b'}


def plot_accuracy_by_frequency(per_class: Sequence[dict], path: str | Path) -> None:
    """Accuracy of each class against its training images, with the mean of each group.

    Args:
        per_class: A dict a class with ``frequency`` (many, medium or few), ``image_count`` and
            ``accuracy`` (-1: no image, left out).
        path: The picture, in the format of its ending.
    """
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.subplots()
    for group, colour in SHOT_COLOURS.items():
        rows = [row for row in per_class if row['frequency'] == group and row['accuracy'] >= 0]
        if not rows:
            continue
        images = np.array([max(row['image_count'], 0.5) for row in rows])  # 0 has no logarithm
        accuracy = np.array([row['accuracy'] for row in rows])
        label = f'{group}: {accuracy.mean():.3f} ({len(rows)} classes)'
        axes.scatter(images, accuracy, s=18, color=colour, alpha=0.7, linewidths=0)
        axes.hlines(
            accuracy.mean(), images.min(), images.max(), color=colour, linewidth=2.5, label=label
        )
    for bound in SHOT_BOUNDS:
        axes.axvline(bound, color='0.8', linewidth=1, zorder=0)
    axes.set(
        xscale='log',
        ylim=(-0.02, 1.02),
        xlabel='training images of the class',
        ylabel='accuracy',
        title='accuracy by training frequency',
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc='best', frameon=False)
    figure.savefig(path, dpi=150)


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
    figure.savefig(path, dpi=150)
