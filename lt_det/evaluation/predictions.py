"""Predictions of MMDetection as the columns that are scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

from ..errors import BadInputError, listed
from ..formats.segmentations import mask_problem, masks_usable
from .detections import ROUNDING, Detections
from .ground_truth import GroundTruth

# LazyMasks are pasted when they are indexed, so this bounds their memory too.
_PIXELS_AT_ONCE = 2**25


def read_instances(
    instances: Any, image: int, categories: np.ndarray, truth: GroundTruth, with_masks: bool
) -> Detections:
    """Detections of one image, without their masks.

    Args:
        instances: pred_instances with scores (N,), labels (N,), bboxes (N, 4) as x1, y1, x2, y2 in
            pixels of the original image, and for masks optionally mask_scores (N,).
        image: Number of the image.
        categories: Category number of each label.
        truth: Annotations.
        with_masks: Whether masks will be scored.

    Raises:
        BadInputError: A value is not finite, a box is inside out, or a label is unknown.
    """
    where = f'prediction for image {truth.image_ids[image]}'
    score_key = 'mask_scores' if with_masks and 'mask_scores' in instances else 'scores'
    scores = to_numpy(instances[score_key]).astype(np.float64)
    boxes = to_numpy(instances['bboxes']).astype(np.float64).reshape(-1, 4)
    labels = to_numpy(instances['labels'])
    lengths = dict(scores=len(scores), bboxes=len(boxes), labels=len(labels))
    if len(set(lengths.values())) > 1:
        raise BadInputError(f'{where}: expected as many of each, got {lengths}')
    boxes[:, 2:] -= boxes[:, :2]
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        raise BadInputError(f'{where}: a score or box is not finite; the model has diverged')
    if (boxes[:, 2:] < -ROUNDING).any():
        raise BadInputError(f'{where}: a box has x2 < x1 or y2 < y1')
    np.maximum(boxes[:, 2:], 0, out=boxes[:, 2:])
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(categories):
        raise BadInputError(
            f'{where}: labels reach from {labels.min()} to {labels.max()}, but the data set has '
            f'{len(categories)} classes'
        )
    return Detections(np.full(len(scores), image), categories[labels], scores, boxes)


def check_size(shape: Sequence[int] | None, image: int, truth: GroundTruth) -> None:
    """Refuse predictions in the frame of an image that is not the annotated one.

    Args:
        shape: Height and width of the image as loaded, the ``ori_shape`` of a sample; None if it
            has none. A pixel more or less does not matter to boxes.
        image: Its number.
        truth: The annotations.

    Raises:
        BadInputError: The size is another.
    """
    expected = truth.image_sizes[image].tolist()
    if shape is not None and max(abs(a - b) for a, b in zip(shape, expected)) > 1:
        raise BadInputError(
            f'image {truth.image_ids[image]} was loaded with height x width {shape[0]} x {shape[1]}'
            f', but {truth.source} has {expected[0]} x {expected[1]}; its predictions cannot be '
            'compared with the annotations (is it turned by EXIF, or resized?)'
        )


def check_masks(instances: Any, image: int, truth: GroundTruth) -> None:
    """Refuse predictions without masks, or with masks that cannot be used or have another size.

    Raises:
        BadInputError: That is so.
    """
    if 'masks' not in instances:
        raise BadInputError("metric 'segm' needs masks, but the model predicts none")
    masks, where = instances['masks'], f'prediction for image {truth.image_ids[image]}'
    number, expected = len(instances['scores']), truth.image_sizes[image].tolist()
    if len(masks) != number:
        raise BadInputError(f'{where}: {len(masks)} masks for {number} scores')
    if not number:
        return
    arrays = isinstance(masks, (torch.Tensor, np.ndarray))
    sizes = [masks.shape[-2:]] if arrays else [m['size'] for m in masks if isinstance(m, dict)]
    wrong = next((list(size) for size in sizes if list(size) != expected), None)
    if wrong is not None:
        raise BadInputError(
            f'{where}: masks have the size {wrong}, but the image in {truth.source} has {expected}'
        )
    records = [] if arrays else [{'segmentation': mask} for mask in masks]
    if records and not masks_usable(records, np.tile(truth.image_sizes[image], (number, 1))):
        problems = (mask_problem(mask, *expected) for mask in masks)
        raise BadInputError(f'{where}: {next(filter(None, problems))}')


@torch.no_grad()
def encode_masks(masks: torch.Tensor | np.ndarray | Sequence[dict], rows: np.ndarray) -> list[dict]:
    """Compressed RLE of some of the masks of an image.

    Args:
        masks: (N, H, W) boolean or 0/1, on any device, or N RLE dicts.
        rows: (M,) int64 indices of the masks to encode.

    Returns:
        M dicts with 'size' and 'counts' (bytes).
    """
    from hotcoco import mask as mask_utils

    if not len(rows):
        return []
    if not isinstance(masks, (torch.Tensor, np.ndarray)):
        return [masks[i] for i in rows]
    masks = torch.as_tensor(masks)
    encoded = []
    step = max(_PIXELS_AT_ONCE // max(masks[:1].numel(), 1), 1)
    for part in torch.as_tensor(rows, device=masks.device).split(step):
        # codes go down the columns; transposed here, on the device of the masks
        columns = masks[part].transpose(1, 2).contiguous()
        columns = columns.view(torch.uint8) if columns.dtype == torch.bool else columns.byte()
        encoded += mask_utils.encode(columns.cpu().numpy().transpose(2, 1, 0))
    return encoded


def to_numpy(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """Values in the memory of the CPU; numpy has no bfloat16, which becomes float32."""
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().float() if values.dtype == torch.bfloat16 else values.detach()
    return values.cpu().numpy()


def match_classes(classes: Sequence[str], truth: GroundTruth) -> np.ndarray:
    """Category number of each label.

    Names are looked up, so that a data set may use some of the categories only. Class lists in use
    spell single names differently from the annotation file; they are accepted by position if all
    others are in the order of the file.

    Args:
        classes: Names of the labels 0, 1, 2 ...
        truth: Annotations whose categories are sorted by id.

    Returns:
        (number of labels,) int64.

    Raises:
        BadInputError: The classes are not those of the annotation file, or one is there twice.
    """
    names = truth.category_names
    if list(classes) == names:
        return np.arange(len(names))
    number = {name: k for k, name in enumerate(names)}
    twice = [name for name, count in zip(*np.unique(classes, return_counts=True)) if count > 1]
    if twice:
        raise BadInputError(f'the classes of the data set have {str(twice[0])!r} twice')
    unknown = [label for label, name in enumerate(classes) if name not in number]
    if not unknown:
        return np.array([number[name] for name in classes], np.int64)
    aligned = [number.get(name, label) == label for label, name in enumerate(classes)]
    if len(classes) == len(names) and all(aligned) and 2 * len(unknown) < len(names):
        label = unknown[0]
        print_log(
            f'class {label} is {classes[label]!r} in the data set and {names[label]!r} in '
            f'{truth.source}; taken for the same ({len(unknown)} such names)',
            logger='current',
            level=logging.WARNING,
        )
        return np.arange(len(names))
    missing, more = [classes[label] for label in unknown], sorted(number.keys() - set(classes))
    instead = f', it has {listed(more, 3)}, which the data set does not have' if more else ''
    raise BadInputError(
        f'{truth.source} has no category {listed(missing, 3)} ({len(missing)} of the '
        f'{len(classes)} classes of the data set){instead}; expected all of them, in any order'
    )
