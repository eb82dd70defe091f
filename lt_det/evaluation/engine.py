"""The Rust engine, hotcoco: what is handed to it, and a look at what it takes without a word.

hotcoco reads result files, overlaps, matches and accumulates with the numbers of lvis-api and
pycocotools. Where it reads a file it warns of, or says nothing of, records that lvis-api would
refuse: without a score, of an unknown image, with a broken mask. ``is_sound`` finds that there is
such a record; ``DetectionReader`` then names it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from .detections import Detections
from .ground_truth import GroundTruth

if TYPE_CHECKING:
    from hotcoco import COCO

_INFINITE = 1e300
_ALL = 2**31 - 1
_SMALLEST = float(np.nextafter(0, 1))
_COMPLAINTS = ('dt_missing_score', 'dt_orphan_image_id', 'dt_orphan_category_id')


def load(truth: GroundTruth, detections: Detections, iou_type: str) -> COCO:
    """Hand detections over."""
    gt = truth.engine(iou_type != 'bbox')
    if not len(detections):
        return gt.load_res([])
    if iou_type == 'bbox' and detections.all_boxed:
        return gt.load_res(detections.array(truth))
    return gt.load_res(detections.records(truth))


def load_file(truth: GroundTruth, path: str | os.PathLike, iou_type: str) -> COCO | None:
    """Let the engine read a result file; None where it does not."""
    try:
        dt = truth.engine(iou_type != 'bbox').load_res(os.fspath(path))
    except (ValueError, OSError, KeyError):
        return None
    return None if dt.load_warnings else dt


def is_sound(truth: GroundTruth, dt: COCO, iou_type: str) -> bool:
    """Whether there are detections, and all that the engine read have what they need."""
    # a record without a box and without a mask that can be decoded has no area
    if not 0 < len(dt.get_ann_ids(area_rng=[0, _INFINITE])) == len(dt.get_ann_ids()):
        return False
    health = truth.engine(iou_type != 'bbox').healthcheck(dt)
    found = {problem['code'] for problem in health['errors'] + health['warnings']}
    return found.isdisjoint(_COMPLAINTS)


def limits_of(truth: GroundTruth, max_dets: int) -> list[int]:
    """Numbers of detections at which recall is measured: 1 and 10 too in coco; the last is all."""
    limit = max_dets if max_dets >= 0 else _ALL
    return [n for n in (1, 10) if n < limit and truth.protocol == 'coco'] + [limit]


def run(
    truth: GroundTruth,
    dt: COCO,
    iou_type: str,
    max_dets: int,
    images: np.ndarray | None = None,
    categories: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate loaded detections.

    Args:
        truth: Annotations.
        dt: Detections.
        iou_type: 'bbox' or 'segm'.
        max_dets: Detections that count, of an image (lvis) or of each category of an image (coco);
            all if negative.
        images: (I,) bool, those to score; all by default.
        categories: (K,) bool, likewise.

    Returns:
        Precision (T, R, K, A, M) and recall (T, K, A, M), -1 where a category has no annotation;
        M limits, those of ``limits_of``.
    """
    from hotcoco import COCOeval

    federated = truth.protocol == 'lvis'
    if federated:
        dt = dt.cap_detections_per_image(max_dets if max_dets >= 0 else None)
        # lvis-api leaves out detections without an area, after the limit
        if dt.get_ann_ids(area_rng=[-_INFINITE, 0]):
            dt = dt.filter(area_rng=[_SMALLEST, _INFINITE], drop_empty_images=False)
    evaluation = COCOeval(truth.engine(iou_type != 'bbox'), dt, iou_type, lvis_style=federated)
    if not federated:
        evaluation.params.max_dets = limits_of(truth, max_dets)
    if images is not None and not images.all():
        evaluation.params.img_ids = truth.image_ids[images].tolist()
    if categories is not None and not categories.all():
        evaluation.params.cat_ids = truth.category_ids[categories].tolist()
    evaluation.evaluate()
    evaluation.accumulate()
    return spread(evaluation.eval, categories)


def spread(arrays: dict, categories: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of some categories as those of all, -1 for the others."""
    precision, recall = arrays['precision'], arrays['recall']
    if categories is None or categories.all():
        return precision, recall
    everything = []
    for values, axis in ((precision, 2), (recall, 1)):
        shape = list(values.shape)
        shape[axis] = len(categories)
        wide = np.full(shape, -1.0)
        wide[(slice(None),) * axis + (categories,)] = values
        everything.append(wide)
    return tuple(everything)
