"""How much detections and annotations overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as engine  # masks take hotcoco's twice as long, to the same numbers

from ...forks import map_parts
from ...formats.coded_masks import take_masks
from ...formats.segmentations import to_rles
from ..detections import Detections
from ..ground_truth import GroundTruth

_MANY_MASKS = 10_000  # which take longer than a fork


@dataclass
class Overlaps:
    """P pairs of a detection and an annotation of its image.

    Attributes:
        detection: (P,) int32 numbers of the N detections of ``Matches``.
        annotation: (P,) int32 numbers of the G annotations.
        iou: (P,) float64, at least the smallest that was asked for.
    """

    detection: np.ndarray
    annotation: np.ndarray
    iou: np.ndarray

    def take(self, rows: np.ndarray) -> Overlaps:
        """The pairs with the given numbers, (M,) int64, or a (P,) bool of those to keep."""
        return Overlaps(self.detection[rows], self.annotation[rows], self.iou[rows])


def find_overlaps(
    truth: GroundTruth,
    detections: Detections,
    iou_type: str,
    smallest: float,
    own_class: bool = False,
) -> Overlaps:
    """Find the annotations that detections overlap with.

    Args:
        truth: Annotations. The overlap with a crowd (coco) is the share of the detection in it.
        detections: N, with boxes, or with masks as compressed codes.
        iou_type: 'bbox' or 'segm'.
        smallest: Overlap below which a pair is left out.
        own_class: Whether to look at annotations of the class of a detection alone.
    """
    present = np.zeros(truth.num_images, bool)
    present[detections.image] = True
    wanted = np.flatnonzero(present[truth.image])
    place, others = detections.image.astype(np.int64), truth.image[wanted]
    if own_class:
        place = place * truth.num_categories + detections.category
        others = others * truth.num_categories + truth.category[wanted]
    found, order = np.argsort(place, kind='stable'), np.argsort(others, kind='stable')
    wanted, place, others = wanted[order], place[found], others[order]
    shared = np.intersect1d(place, others)
    bounds = [np.searchsorted(x, y) for x in (place, others) for y in (shared, shared + 1)]
    cells = list(zip(*(bound.tolist() for bound in bounds)))
    crowd = truth.crowd & (truth.protocol == 'coco')

    def of(cells: list[tuple[int, int, int, int]]) -> tuple[np.ndarray, ...]:
        parts = [(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))]
        for start, end, first, last in cells:
            these, those = found[start:end], wanted[first:last]
            if iou_type == 'bbox':
                shapes = detections.boxes[these], truth.boxes[those]
            else:
                shapes = _codes(truth, detections, these, those)
            iou = engine.iou(*shapes, crowd[those].astype(np.uint8))
            rows, columns = np.nonzero(iou >= smallest)
            pairs = these[rows].astype(np.int32), those[columns].astype(np.int32)
            parts.append((*pairs, iou[rows, columns]))
        return tuple(map(np.concatenate, zip(*parts)))

    parts = map_parts(of, cells, iou_type == 'segm' and len(found) >= _MANY_MASKS)
    return Overlaps(*map(np.concatenate, zip(*parts)))


def _codes(
    truth: GroundTruth, detections: Detections, these: np.ndarray, those: np.ndarray
) -> tuple[list[dict], list[dict]]:
    """Masks of detections and of annotations on one image."""
    size = truth.image_sizes[truth.image[those[0]]].tolist()
    segmentations = map(truth.segmentation, those.tolist())
    return list(take_masks(detections.segmentations, these)), to_rles(segmentations, *size)
