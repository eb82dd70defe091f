"""The Rust engine, hotcoco: what is handed to it, and a look at what it takes without a word.

hotcoco reads result files, overlaps, matches and accumulates with the numbers of lvis-api and
pycocotools. It refuses or warns of records of wrong types, scores that are not finite, and images
and categories that are not there; it takes a record without a score, with a negative size or with a
broken mask for one that finds nothing. ``DetectionReader`` finds and names all of these.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .detections import Detections
from .ground_truth import GroundTruth

if TYPE_CHECKING:
    from hotcoco import COCO, COCOeval

MAX_DETS = {'lvis': 300, 'coco': 100}  # of an image, of each category of an image
_INFINITE = 1e300
_ALL = 2**31 - 1
_SMALLEST = float(np.nextafter(0, 1))


def load(truth: GroundTruth, detections: Detections, iou_type: str) -> COCO:
    """Hand detections over."""
    gt = truth.engine(iou_type != 'bbox')
    if not len(detections):
        return gt.load_res([])
    if iou_type == 'bbox' and detections.boxes is not None:
        return gt.load_res(detections.boxed(truth).array(truth))
    if iou_type == 'bbox':  # sizes are those of masks then, as in lvis-api
        detections = detections.encoded(truth)
    return gt.load_res(detections.records(truth))


def load_file(truth: GroundTruth, path: str | os.PathLike, iou_type: str) -> COCO | None:
    """Let the engine read a result file; None where it complains."""
    try:
        dt = truth.engine(iou_type != 'bbox').load_res(os.fspath(path))
    except (ValueError, OSError, KeyError):
        return None
    return None if dt.load_warnings else dt


def limits_of(truth: GroundTruth, max_dets: int) -> list[int]:
    """Numbers of detections at which recall is measured: 1 and 10 too in coco; the last is all."""
    limit = min(max_dets, _ALL) if max_dets >= 0 else _ALL
    return [n for n in (1, 10) if n < limit and truth.protocol == 'coco'] + [limit]


@dataclass
class Arrays:
    """What an evaluation gives, for P categories; those without annotations take no memory.

    Attributes:
        categories: (K,) bool, the P of all K.
        precision: (T, R, P, A, M) float64, -1 where a category has no annotation of that size.
        recall: (T, P, A, M), likewise. M limits, those of ``limits_of``.
    """

    categories: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @classmethod
    def of(cls, evaluation: COCOeval, categories: np.ndarray) -> Arrays:
        """Those of an evaluation of some categories that has been accumulated."""
        values: Any = evaluation.eval  # set by accumulate
        return cls(categories, values['precision'], values['recall'])

    @classmethod
    def empty(cls, truth: GroundTruth, max_dets: int) -> Arrays:
        """Those of no category at all."""
        limits = len(limits_of(truth, max_dets))
        shapes = (10, 101, 0, 4, limits), (10, 0, 4, limits)
        return cls(np.zeros(truth.num_categories, bool), *map(np.zeros, shapes))

    def spread(self, name: str) -> np.ndarray:
        """An array of the last limit for all K categories, -1 for those that are not there."""
        values = getattr(self, name)[..., -1]
        everything = np.full((*values.shape[:-2], len(self.categories), values.shape[-1]), -1.0)
        everything[..., self.categories, :] = values
        return everything


def run(
    truth: GroundTruth,
    dt: COCO,
    iou_type: str,
    max_dets: int,
    images: np.ndarray,
    categories: np.ndarray,
) -> Arrays:
    """Evaluate loaded detections.

    Args:
        truth: Annotations.
        dt: Detections.
        iou_type: 'bbox' or 'segm'.
        max_dets: Detections that count, of an image (lvis) or of each category of an image (coco);
            all if negative.
        images: (I,) bool, those to score.
        categories: (K,) bool, likewise.
    """
    from hotcoco import COCOeval

    federated = truth.protocol == 'lvis'
    if federated:
        dt = dt.cap_detections_per_image(limits_of(truth, max_dets)[-1])
        # lvis-api leaves out detections without an area, after the limit
        if dt.get_ann_ids(area_rng=[-_INFINITE, 0]):
            dt = dt.filter(area_rng=[_SMALLEST, _INFINITE], drop_empty_images=False)
            dt = dt.cap_detections_per_image(None)  # else the engine limits them again
    evaluation = COCOeval(truth.engine(iou_type != 'bbox'), dt, iou_type, lvis_style=federated)
    evaluation.params.max_dets = limits_of(truth, max_dets)
    if not images.all():
        evaluation.params.img_ids = truth.image_ids[images].tolist()
    present = categories & truth.annotated(images)
    if not present.any():  # no ids would mean all
        return Arrays.empty(truth, max_dets)
    evaluation.params.cat_ids = truth.category_ids[present].tolist()
    evaluation.evaluate()
    evaluation.accumulate()
    return Arrays.of(evaluation, present)
