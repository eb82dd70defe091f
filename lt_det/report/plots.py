"""Accuracy of the classes against their training frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..frequency import LVIS_BOUNDS
from .figure_file import save_figure

GROUP_COLOURS = {'r': '#c0392b', 'c': '#e69f00', 'f': '#1f6fb4'}
GROUP_NAMES = {'r': 'rare', 'c': 'common', 'f': 'frequent'}


def plot_ap_by_frequency(
    per_class: Sequence[dict], path: str | Path, iou_type: str = 'segm'
) -> None:
    """AP of each class against its training images, with the mean of each group r, c, f.

    Args:
        per_class: A dict per class with ``frequency`` (r, c or f), ``image_count`` (training
            images) and ``{iou_type}_AP`` (-1: no ground truth, left out). Classes whose training
            images are not known are left out, too, and their number is said in the title.
        path: The picture, in the format of its ending.
        iou_type: ``'bbox'`` or ``'segm'``.
    """
    key = f'{iou_type}_AP'
    judged = [row for row in per_class if row[key] >= 0]
    known = [row for row in judged if row['image_count'] is not None]
    without = len(judged) - len(known)
    plot_by_frequency(
        known,
        key,
        path,
        GROUP_COLOURS,
        LVIS_BOUNDS,
        names={group: f'{name}: AP{group}' for group, name in GROUP_NAMES.items()},
        ylabel=f'{iou_type} AP',
        title='AP by training frequency'
        + f'\n({without} classes without a known number of images left out)' * bool(without),
    )


def plot_by_frequency(
    per_class: Sequence[dict],
    key: str,
    path: str | Path,
    colours: Mapping[str, str],
    bounds: Sequence[int],
    names: Mapping[str, str],
    ylabel: str,
    title: str,
) -> None:
    """A value of each class against its training images, with the mean of each group.

    Args:
        per_class: A dict per class with ``frequency`` (its group), ``image_count`` and ``key``.
        key: Of the value, in 0..1.
        path: The picture, in the format of its ending.
        colours: By group, in the order of the legend.
        bounds: Numbers of images between the groups.
        names: What stands before the mean of a group in the legend.
        ylabel: Of the value.
        title: Of the picture.
    """
    from matplotlib.figure import Figure  # not with the colours, which all pages take

    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.subplots()
    for group, colour in colours.items():
        rows = [row for row in per_class if row['frequency'] == group]
        if not rows:
            continue
        images = np.array([max(row['image_count'], 0.5) for row in rows])  # 0 has no logarithm
        values = np.array([row[key] for row in rows])
        mean = values.mean()
        label = f'{names[group]} {mean:.3f} ({len(rows)} classes)'
        axes.scatter(images, values, s=18, color=colour, alpha=0.7, linewidths=0)
        axes.hlines(mean, images.min(), images.max(), color=colour, linewidth=2.5, label=label)
    for bound in bounds:
        axes.axvline(bound, color='0.8', linewidth=1, zorder=0)
    axes.set(
        xscale='log',
        ylim=(-0.02, 1.02),
        xlabel='training images of the class',
        ylabel=ylabel,
        title=title,
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc='best', frameon=False)
    save_figure(figure, path, dpi=150)
