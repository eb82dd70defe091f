"""Pictures of detections beside the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import mmcv
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

COLOURS = matplotlib.colormaps['tab20'].colors


def draw_detections(
    samples: Sequence[DetDataSample],
    class_names: Sequence[str],
    path: str | Path,
    score_thr: float = 0.3,
) -> None:
    """One picture, a row an image: ground truth on the left, detections on the right.

    Args:
        samples: With ``img_path``, ``gt_instances`` and ``pred_instances`` in pixels of the
            original image.
        class_names: C names by label.
        path: The picture, in the format of its ending.
        score_thr: Detections with a lower score are left out.
    """
    figure = Figure(figsize=(9, 4.7 * len(samples)), layout='constrained')
    grid = figure.subplots(len(samples), 2, squeeze=False)
    for (left, right), sample in zip(grid, samples, strict=True):
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        detections = sample.pred_instances
        detections = detections[detections.scores >= score_thr]
        truth = sample.gt_instances if 'gt_instances' in sample else InstanceData()
        _draw(left, image, truth, class_names)
        _draw(right, image, detections, class_names)
        left.set_title(f'{Path(sample.img_path).name}: ground truth', fontsize=9)
        right.set_title(f'detections with score >= {score_thr}', fontsize=9)
    figure.savefig(path, dpi=110)


def _draw(axes: Axes, image: np.ndarray, instances: InstanceData, names: Sequence[str]) -> None:
    """An image (H, W, 3) with masks as tint, boxes as frames and class names."""
    tinted = image.astype(np.float32)
    labels = [int(label) for label in instances.get('labels', [])]
    masks = instances.get('masks')
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    if masks is not None:
        for mask, label in zip(np.asarray(masks, bool), labels, strict=True):
            tinted[mask] = 0.5 * tinted[mask] + 127.5 * np.array(COLOURS[label % len(COLOURS)])
    axes.imshow(tinted.astype(np.uint8))
    axes.axis('off')
    for index, label in enumerate(labels):
        x1, y1, x2, y2 = np.asarray(instances.bboxes[index], float).ravel()
        text = names[label]
        if 'scores' in instances:
            text += f' {float(instances.scores[index]):.2f}'
        frame = dict(fill=False, edgecolor=COLOURS[label % len(COLOURS)], linewidth=1.5)
        axes.add_patch(matplotlib.patches.Rectangle((x1, y1), x2 - x1, y2 - y1, **frame))
        box = dict(facecolor='black', alpha=0.6, pad=0.8, linewidth=0)
        axes.text(x1, y1, text, color='white', fontsize=6, va='bottom', bbox=box, clip_on=True)
