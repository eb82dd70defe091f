"""Predictions of MMDetection as the columns that are scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from pycocotools import mask as mask_utils

from ..errors import BadInputError
from .detections import Detections
from .ground_truth import LVISGroundTruth

# LazyMasks are pasted when they are indexed, so this bounds their memory too.
_PIXELS_AT_ONCE = 2**25


def read_instances(
    instances: Any, image: int, categories: np.ndarray, truth: LVISGroundTruth, with_masks: bool
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
    boxes[:, 2:] -= boxes[:, :2]
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        raise BadInputError(f'{where}: a score or box is not finite; the model has diverged')
    if (boxes[:, 2:] < 0).any():
        raise BadInputError(f'{where}: a box has x2 < x1 or y2 < y1')
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(categories):
        raise BadInputError(
            f'{where}: labels reach from {labels.min()} to {labels.max()}, but the data set has '
            f'{len(categories)} classes'
        )
    return Detections(
        image=np.full(len(scores), image, dtype=np.int32),
        category=categories[labels].astype(np.int32),
        score=scores,
        area=boxes[:, 2] * boxes[:, 3],
        boxes=boxes,
    )


def add_masks(
    detections: Detections, instances: Any, rows: np.ndarray, truth: LVISGroundTruth
) -> None:
    """Encodes some masks of one image; areas become those of the masks, 0 without one.

    Args:
        detections: N detections of one image.
        instances: pred_instances with masks (N, H, W), or N RLE dicts.
        rows: (M,) int64 indices of the masks to encode.
        truth: Annotations.

    Raises:
        BadInputError: There are no masks, or not of the size of the image.
    """
    if 'masks' not in instances:
        raise BadInputError("metric 'segm' needs masks, but the model predicts none")
    encoded = encode_masks(instances['masks'], rows)
    if encoded:
        image = detections.image[0]
        expected = truth.image_sizes[image].tolist()
        if list(encoded[0]['size']) != expected:
            raise BadInputError(
                f'prediction for image {truth.image_ids[image]}: masks have the size '
                f'{list(encoded[0]["size"])}, but the image in {truth.source} has {expected}'
            )
    masks: list[dict | None] = [None] * len(detections)
    for row, mask in zip(rows, encoded):
        masks[row] = mask
    detections.segmentations = masks
    detections.area = np.zeros(len(detections))
    # under numpy 2, pycocotools fails on more masks at once
    areas = [mask_utils.area(encoded[i : i + 255]) for i in range(0, len(encoded), 255)]
    detections.area[rows] = np.concatenate([np.zeros(0), *areas])


def encode_masks(masks: torch.Tensor | np.ndarray | Sequence[dict], rows: np.ndarray) -> list[dict]:
    """Compressed RLE of some of the masks of an image.

    Args:
        masks: (N, H, W) boolean or 0/1, on any device, or N RLE dicts.
        rows: (M,) int64 indices of the masks to encode.

    Returns:
        M dicts with 'size' and 'counts' (bytes).
    """
    if not len(rows):
        return []
    if not isinstance(masks, (torch.Tensor, np.ndarray)):
        return [masks[i] for i in rows]
    masks = torch.as_tensor(masks)
    encoded = []
    step = max(_PIXELS_AT_ONCE // masks[:1].numel(), 1)
    for part in torch.as_tensor(rows, device=masks.device).split(step):
        # pycocotools reads column by column; transposed here, its input needs no other copy.
        columns = masks[part].transpose(1, 2).to(torch.uint8).contiguous().cpu().numpy()
        encoded += mask_utils.encode(columns.transpose(2, 1, 0))
    return encoded


def to_numpy(values: torch.Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def match_classes(classes: Sequence[str], truth: LVISGroundTruth) -> np.ndarray:
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
        BadInputError: The classes are not those of the annotation file.
    """
    names = truth.category_names
    if list(classes) == names:
        return np.arange(len(names))
    number = {name: k for k, name in enumerate(names)}
    unknown = [label for label, name in enumerate(classes) if name not in number]
    if not unknown and len(number) == len(names) and len(set(classes)) == len(classes):
        return np.array([number[name] for name in classes])
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
    label = unknown[0] if unknown else 0
    other = repr(names[label]) if label < len(names) else 'nothing'
    raise BadInputError(
        f'the classes of the data set are not the categories of {truth.source}: the data set has '
        f'{len(classes)} classes with {classes[label]!r} as number {label}, the file has '
        f'{len(names)} categories with {other} there'
    )
