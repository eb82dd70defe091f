"""Diagnosis by frequency: what goes wrong with rare, common and frequent classes.

>>> from lt_det.evaluation.diagnosis import compare, diagnose, format_diagnosis
"""

from __future__ import annotations

import numpy as np

from ..detections import Detections
from ..ground_truth import GroundTruth
from .calibration import check_scores, measure_calibration
from .comparison import compare
from .confusion import count_confusions, takers
from .errors import KINDS, count_and_cost, find_errors
from .matches import class_groups, match
from .table import format_diagnosis

__all__ = ['KINDS', 'compare', 'diagnose', 'format_diagnosis']

FOREGROUND, BACKGROUND = 0.5, 0.1


def diagnose(
    truth: GroundTruth,
    detections: Detections,
    iou_type: str = 'bbox',
    max_dets: int | None = None,
    images: np.ndarray | None = None,
    categories: np.ndarray | None = None,
) -> dict:
    """Say per frequency group what costs AP50, where objects go, and whether scores can be trusted.

    Args:
        truth: Annotations and their protocol.
        detections: Of any number of images.
        iou_type: 'bbox' or 'segm'.
        max_dets: Detections that count, of an image (lvis) or of each category of an image (coco);
            300 and 100 by default, all if negative.
        images: (I,) bool, images to look at; all by default.
        categories: (K,) bool, classes that are reported; the others take part. All by default.

    Returns:
        Plain json: 'protocol'; 'iou_type'; 'groups', numbers of classes of 'all' and of each group
        that has any; 'errors', as ``errors.count_and_cost`` gives them; 'confusion', as
        ``confusion.count_confusions``; 'calibration', as ``calibration.measure_calibration``.

    Raises:
        BadInputError: A score is not within 0 and 1.
    """
    check_scores(detections.score)
    matches = match(truth, detections, iou_type, max_dets, (FOREGROUND,), images, BACKGROUND)
    pairs = matches.overlaps
    mistakes = find_errors(truth, matches, pairs, FOREGROUND, BACKGROUND)
    taker = takers(matches, pairs, FOREGROUND)
    groups = class_groups(truth, categories)
    return {
        'protocol': truth.protocol,
        'iou_type': iou_type,
        'groups': {name: int(classes.sum()) for name, classes in groups.items()},
        'errors': count_and_cost(truth, matches, *mistakes, categories),
        'confusion': count_confusions(truth, matches, taker, categories),
        'calibration': measure_calibration(truth, matches, categories),
    }
