"""Pictures of where a CAM-calibrated detector sees the classes of its detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.apis import inference_detector
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..errors import BadInputError, MissingFileError
from .figure_file import save_figure


@torch.no_grad()
def attention_of_detections(
    model: nn.Module, image: str | Path, score_thr: float = 0.3, most: int = 12
) -> tuple[InstanceData, Tensor]:
    """The best detections in an image, and the calibrated attention of each for its class.

    Args:
        model: From ``mmdet.apis.init_detector``; its RoI head calibrates.
        image: The image file.
        score_thr: Detections with a lower score are left out.
        most: Largest number of detections, K.

    Returns:
        Detections in pixels of the image, best first, and attention (K, h, w) of mean 1 in their
        boxes.

    Raises:
        BadInputError: The RoI head has no calibration, or the file is no image.
        MissingFileError: There is no such file.
    """
    head = getattr(model, 'roi_head', None)
    if not hasattr(head, 'calibration'):
        raise BadInputError(
            f"roi_head.type is {type(head).__name__}, expected 'CAMCalibratedRoIHead': only a "
            'calibrated model has an attention to show'
        )
    if not Path(image).is_file():
        raise MissingFileError(f'image {image} does not exist')
    if mmcv.imread(image) is None:
        raise BadInputError(f'{image} is not an image that OpenCV can read')
    features = []
    hook = model.neck.register_forward_hook(lambda *call: features.append(call[-1]))
    try:
        sample = inference_detector(model, str(image))
    finally:
        hook.remove()
    found = sample.pred_instances
    found = found[found.scores >= score_thr]
    found = found[found.scores.argsort(descending=True)[:most]]
    boxes = found.bboxes * found.bboxes.new_tensor(sample.scale_factor).repeat(2)
    return found, head.attention(features[0], bbox2roi([boxes]), found.labels)


def draw_attention(
    image: str | Path,
    detections: InstanceData,
    attention: Tensor,
    class_names: Sequence[str],
    path: str | Path,
) -> None:
    """One picture: each detection's box cut from the image, with its attention over it.

    Args:
        image: The image file.
        detections: K detections in its pixels.
        attention: (K, h, w) of mean 1; red is above 1, blue below.
        class_names: C names by label.
        path: The picture, in the format of its ending.
    """
    pixels = mmcv.imread(image, channel_order='rgb')
    rows = -(-len(detections) // 4) + 1
    figure = Figure(figsize=(9, 2.4 * rows), layout='constrained')
    grid = figure.subplots(rows, 4, squeeze=False)
    for axes in grid.ravel():
        axes.axis('off')
    grid[0, 0].imshow(pixels)
    grid[0, 0].set_title(f'{Path(image).name}: {len(detections)} detections', fontsize=8)
    largest = float(attention.max()) if len(attention) else 1.0
    for axes, box, label, score, weights in zip(
        grid[1:].ravel(),
        np.asarray(detections.bboxes.cpu(), float),
        detections.labels.tolist(),
        detections.scores.tolist(),
        attention.float().cpu().numpy(),
    ):
        x1, y1, x2, y2 = box
        axes.imshow(pixels)
        axes.imshow(
            weights,
            extent=(x1, x2, y2, y1),
            cmap='coolwarm',
            alpha=0.55,
            vmin=2 - max(largest, 1.01),  # symmetric about 1, so white is the mean
            vmax=max(largest, 1.01),
            interpolation='bilinear',
        )
        axes.set_xlim(x1, max(x2, x1 + 1))
        axes.set_ylim(max(y2, y1 + 1), y1)
        axes.set_title(f'{class_names[label]} {score:.2f}', fontsize=8)
    save_figure(figure, path, dpi=110)
