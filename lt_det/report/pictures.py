"""Pictures of detections beside the ground truth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import mmcv
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torchvision.ops import box_iou

from ..formats.files import whole_file
from .figure_file import save_figure
from .label_places import place_labels

# told apart without colours too; those of Okabe and Ito
LOOKS = {
    'found': ('#0072B2', 'solid'),
    'missed': ('#E69F00', 'dashed'),
    'false positive': ('#CC79A7', 'dotted'),
}
_HIT_IOU = 0.5
_WIDTH, _TITLE, _LEGEND, _GAP = 4.35, 0.25, 0.4, 0.1  # inches
_PAD, _EDGE = 1.2, 0.8  # of the back of a label, points
_MOST_BYTES = 400_000
_SHRINKING = ((1, 256), (1, 128), (1, 64), (0.8, 64), (0.65, 64), (0.5, 32), (0.35, 32), (0.2, 16))


def draw_detections(
    samples: Sequence[DetDataSample],
    class_names: Sequence[str],
    path: str | Path,
    score_thr: float = 0.3,
) -> None:
    """One picture, a row per image: ground truth on the left, detections on the right.

    Objects that are found and missed, and detections that are right and wrong, have looks of their
    own. A detection is right if it overlaps with an object of its class by at least 0.5, and none
    with a higher score takes that. Labels for which there is no room are left out, those of the
    lowest scores first. A .png has at most 400 kB: with fewer colours, then smaller.

    Args:
        samples: With ``img_path``, ``gt_instances`` and ``pred_instances`` in pixels of the
            original image.
        class_names: C names by label.
        path: The picture, in the format of its ending.
        score_thr: Detections with a lower score are left out.
    """
    images = [mmcv.imread(sample.img_path, channel_order='rgb') for sample in samples]
    # places that are given: a layout that is found takes longer than all the drawing
    rows = [_WIDTH * min(image.shape[0] / image.shape[1], 1.5) for image in images]
    height = _LEGEND + sum(rows) + _TITLE * len(rows) + _GAP
    figure = Figure(figsize=(2 * _WIDTH + 3 * _GAP, height), dpi=110)
    canvas = FigureCanvasAgg(figure)
    side = _GAP / figure.get_figwidth()
    places = dict(
        left=side,
        right=1 - side,
        bottom=_GAP / height,
        top=1 - (_LEGEND + _TITLE) / height,
        wspace=_GAP / _WIDTH,
        hspace=_TITLE / np.mean(rows),
    )
    grid = figure.subplots(len(samples), 2, squeeze=False, height_ratios=rows, gridspec_kw=places)
    labels: list[tuple[Axes, list]] = []
    for (left, right), image, sample in zip(grid, images, samples, strict=True):
        detections = sample.pred_instances
        detections = detections[detections.scores >= score_thr]
        truth = sample.gt_instances if 'gt_instances' in sample else InstanceData()
        found, right_ones = match(truth, detections)
        looks = ['found' if f else 'missed' for f in found]
        labels.append((left, _draw(left, image, truth, class_names, looks)))
        looks = ['found' if f else 'false positive' for f in right_ones]
        labels.append((right, _draw(right, image, detections, class_names, looks)))
        left.set_title(f'{Path(sample.img_path).name}: ground truth', fontsize=9, y=1)
        right.set_title(f'detections with score >= {score_thr}', fontsize=9, y=1)
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=1.5, label=name)
        for name, (colour, style) in LOOKS.items()
    ]
    figure.legend(handles=handles, loc='upper center', ncols=3, frameon=False, fontsize=9)
    for axes, wanted in labels:
        _label(axes, wanted, canvas)
    if Path(path).suffix == '.png':
        _write_small(canvas, path)
    else:
        save_figure(figure, path)


def match(truth: InstanceData, detections: InstanceData) -> tuple[np.ndarray, np.ndarray]:
    """Which objects are found and which detections are right.

    Args:
        truth: G objects with ``bboxes`` and ``labels``; or nothing.
        detections: N, with ``scores`` too.

    Returns:
        (G,) and (N,) bool.
    """
    labels = _array(truth, 'labels')
    found = np.zeros(len(labels), bool)
    right = np.zeros(len(detections), bool)
    boxes = (torch.from_numpy(_boxes(some)) for some in (detections, truth))
    overlap = box_iou(*boxes).numpy()
    overlap *= _array(detections, 'labels')[:, None] == labels[None]
    for n in np.argsort(-_array(detections, 'scores'), kind='stable').tolist():
        free = np.where(found, 0, overlap[n])
        if len(free) and free.max() >= _HIT_IOU:
            found[free.argmax()] = right[n] = True
    return found, right


def _draw(
    axes: Axes,
    image: np.ndarray,
    instances: InstanceData,
    names: Sequence[str],
    looks: Sequence[str],
) -> list[tuple]:
    """An image (H, W, 3) with masks as tint and boxes as frames.

    Returns:
        Labels: box, text and colour, those of the highest scores first.
    """
    tinted = image.astype(np.float32)
    masks = instances.get('masks')
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    if masks is not None:
        for mask, look in zip(np.asarray(masks, bool), looks, strict=True):
            colour = np.array(matplotlib.colors.to_rgb(LOOKS[look][0]))
            tinted[mask] = 0.5 * tinted[mask] + 127.5 * colour
    axes.imshow(tinted.astype(np.uint8))
    axes.axis('off')
    labels = []
    boxes, scores = _boxes(instances), _array(instances, 'scores')
    for index, (box, label) in enumerate(zip(boxes.tolist(), _array(instances, 'labels'))):
        x1, y1, x2, y2 = box
        colour, style = LOOKS[looks[index]]
        axes.add_patch(
            Rectangle(
                (x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, linestyle=style, linewidth=1.8
            )
        )
        text = str(names[int(label)])
        labels.append((box, text + (f' {scores[index]:.2f}' if len(scores) else ''), colour))
    order = np.argsort(-scores, kind='stable') if len(scores) else range(len(labels))
    return [labels[i] for i in order]


def _label(axes: Axes, labels: list[tuple], canvas: FigureCanvasAgg) -> None:
    """Write labels where they do not cover each other."""
    axes.apply_aspect()  # the place of the image, in which labels are placed in pixels
    renderer = canvas.get_renderer()
    margin = (_PAD + _EDGE) * canvas.figure.dpi / 72
    texts, boxes, sizes = [], [], []
    for (x1, y1, x2, y2), text, colour in labels:
        back = dict(facecolor='black', alpha=0.7, pad=_PAD, edgecolor=colour, linewidth=_EDGE)
        drawn = axes.text(
            0, 0, text, color='white', fontsize=6, bbox=back, transform=None, parse_math=False
        )
        extent = drawn.get_window_extent(renderer)  # without its back
        sizes.append((extent.width + 2 * margin, extent.height + 2 * margin))
        corners = axes.transData.transform([(x1, y2), (x2, y1)])  # y of pixels goes up
        boxes.append(corners.ravel().tolist())
        texts.append((drawn, extent.x0 - margin, extent.y0 - margin))
    area = axes.get_window_extent(renderer).extents
    for (drawn, x0, y0), place in zip(texts, place_labels(boxes, sizes, area)):
        if place is None:
            drawn.remove()
        else:
            drawn.set_position((place[0] - x0, place[1] - y0))


def _write_small(canvas: FigureCanvasAgg, path: str | Path) -> None:
    """A .png of a palette, of at most 400 kB."""
    from PIL import Image

    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    for scale, colours in _SHRINKING:
        size = [max(1, round(side * scale)) for side in picture.size]
        smaller = picture if scale == 1 else picture.resize(size, Image.Resampling.LANCZOS)
        file = io.BytesIO()
        smaller.quantize(colours, dither=Image.Dither.NONE).save(file, 'png', optimize=True)
        if file.tell() <= _MOST_BYTES:
            break
    with whole_file(path) as part:
        part.write_bytes(file.getvalue())


def _array(instances: InstanceData, name: str) -> np.ndarray:
    return np.asarray(instances[name].cpu()) if name in instances else np.zeros(0)


def _boxes(instances: InstanceData) -> np.ndarray:
    """(N, 4) x1, y1, x2, y2."""
    boxes = instances.get('bboxes')
    boxes = getattr(boxes, 'tensor', boxes)
    return np.zeros((0, 4)) if boxes is None else np.asarray(boxes.cpu(), float).reshape(-1, 4)
