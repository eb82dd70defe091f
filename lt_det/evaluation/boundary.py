"""Boundary AP, by vernier, under the rules of LVIS or COCO.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021: the
IoU of two masks is the lower one of that of the masks and that of their boundaries, the pixels of a
mask within a distance of 2% of the image diagonal from its contour. lvis-api takes 2% for LVIS too
(``LVISEval(dilation_ratio=0.02)`` on its master branch, 73142a4).
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import BadInputError
from ..formats.segmentations import to_rle
from .detections import Detections, within_limit
from .engine import Arrays, limits_of
from .ground_truth import GroundTruth, box_polygon

DILATION_RATIO = 0.02


def check_installed() -> None:
    """Raise BadInputError where Boundary AP cannot be computed."""
    if find_spec('vernier') is None:
        raise BadInputError(
            "iou_type 'boundary' needs vernier, which is not installed: "
            "pip install 'vernier>=0.5.4,<0.6'"
        )


def run(
    truth: GroundTruth,
    detections: Detections,
    max_dets: int,
    images: np.ndarray,
    categories: np.ndarray,
) -> Arrays:
    """As ``engine.run``."""
    from vernier.instance import CocoDataset, evaluate_boundary_grid

    federated = truth.protocol == 'lvis'
    if federated:
        detections = detections.take(within_limit(detections.image, detections.score, max_dets))
    used = images[detections.image] & categories[detections.category]
    used &= truth.judged(detections.image, detections.category)
    records: Any = [  # dicts, for which it has a type of its own
        mask_record(truth, record, detections.image[row])
        for row, record in zip(np.flatnonzero(used), detections.take(used).records(truth))
    ]
    if federated:
        records = [record for record in records if record['area'] > 0]
    annotations = [
        record
        for image in np.flatnonzero(images)
        for record in truth.annotation_records(image, True, categories)
    ]
    content = {
        'images': [_image_record(truth, image) for image in np.flatnonzero(images)],
        'categories': truth.category_records(),
        'annotations': annotations,
    }
    text = json.dumps(content).encode()
    gt = CocoDataset.from_lvis_json(text) if federated else CocoDataset.from_json(text)
    limits = limits_of(truth, max_dets)
    grid = evaluate_boundary_grid(
        gt,
        records,
        parity_mode='strict',
        max_dets_per_image=limits[-1],
        use_cats=True,
        dilation_ratio=DILATION_RATIO,
        dt_area='supplied',
    )
    result = grid.accumulate(limits)
    everything = np.ones(truth.num_categories, bool)
    return Arrays(everything, np.asarray(result.precision), np.asarray(result.recall))


def _image_record(truth: GroundTruth, image: int) -> dict:
    """An image with federated lists that contradict neither each other nor the annotations.

    vernier refuses a category that is not exhaustively annotated where it has no annotation. There
    every detection is ignored, as if it were not judged at all.
    """
    record = truth.image_record(image)
    if truth.protocol == 'lvis':
        first, last = np.searchsorted(truth.image, [image, image + 1])
        present = set(truth.category_ids[truth.category[first:last]].tolist())
        open_ = set(record['not_exhaustive_category_ids'])
        record['not_exhaustive_category_ids'] = sorted(open_ & present)
        record['neg_category_ids'] = sorted(set(record['neg_category_ids']) - present - open_)
    return record


def mask_record(truth: GroundTruth, record: dict, image: int) -> dict:
    """A result record with a compressed mask, and the area that lvis-api gives it."""
    from pycocotools import mask as mask_utils

    height, width = truth.image_sizes[image].tolist()
    segmentation = record.get('segmentation') or box_polygon(record['bbox'])
    rle = to_rle(segmentation, height, width)
    if 'bbox' in record:
        area = record['bbox'][2] * record['bbox'][3]
    else:
        area = float(mask_utils.area(rle))
    counts = rle['counts'] if isinstance(rle['counts'], str) else rle['counts'].decode()
    return {
        'image_id': record['image_id'],
        'category_id': record['category_id'],
        'score': record['score'],
        'bbox': mask_utils.toBbox(rle).tolist(),
        'area': area,
        'segmentation': {'size': [height, width], 'counts': counts},
    }
