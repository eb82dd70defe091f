"""Plots of a detector's accuracy against the training frequency of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..frequency import LVIS_BOUNDS

GROUP_COLOURS = {'r': '#c0392b', 'c': '#e69f00', 'f': '#1f6fb4'}
GROUP_NAMES = {'r': 'rare', 'c': 'common', 'f': 'frequent'}


def plot_ap_by_frequency(
    per_class: Sequence[dict], path: str | Path, iou_type: str = 'segm'
) -> None:
    """AP of each class against its training images, with the mean of each group r, c, f.

    Args:
        per_class: A dict a class with ``frequency`` (r, c or f), ``image_count`` (training images)
            and ``{iou_type}_AP`` (-1: no ground truth, left out). Classes whose training images are
            not known are left out, too, and their number is said in the title.
        path: The picture, in the format of its ending.
        iou_type: ``'bbox'`` or ``'segm'``.
    """
    from matplotlib.figure import Figure  # not with the colours, which all pages take

    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.subplots()
    key = f'{iou_type}_AP'
    judged = [row for row in per_class if row[key] >= 0]
    known = [row for row in judged if row['image_count'] is not None]
    without = len(judged) - len(known)
    for group, colour in GROUP_COLOURS.items():
        rows = [row for row in known if row['frequency'] == group]
        if not rows:
            continue
        images = np.array([max(row['image_count'], 0.5) for row in rows])  # 0 has no logarithm
        precision = np.array([row[key] for row in rows])
        mean = precision.mean()
        label = f'{GROUP_NAMES[group]}: AP{group} {mean:.3f} ({len(rows)} classes)'
        axes.scatter(images, precision, s=18, color=colour, alpha=0.7, linewidths=0)
        axes.hlines(mean, images.min(), images.max(), color=colour, linewidth=2.5, label=label)
    for bound in LVIS_BOUNDS:
        axes.axvline(bound, color='0.8', linewidth=1, zorder=0)
    axes.set(
        xscale='log',
        ylim=(-0.02, 1.02),
        xlabel='training images of the class',
        ylabel=f'{iou_type} AP',
        title='AP by training frequency'
        + f'\n({without} classes without a known number of images left out)' * bool(without),
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc='best', frameon=False)
    figure.savefig(path, dpi=150)
