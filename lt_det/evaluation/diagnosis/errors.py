"""What costs average precision: TIDE (Bolya et al., arXiv 2008.08115) per frequency group."""

from __future__ import annotations

import numpy as np

from ..ground_truth import GroundTruth
from .matches import Matches, class_groups
from .overlaps import Overlaps

KINDS = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')
_CLASSIFICATION, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND, _MISSED = range(6)
_RECALLS = np.linspace(0, 1, 101)


def find_errors(
    truth: GroundTruth,
    matches: Matches,
    overlaps: Overlaps,
    foreground: float = 0.5,
    background: float = 0.1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Say of every false positive what is wrong with it, and which annotations are missed.

    A false positive is a detection whose category is judged on the image and which takes no
    annotation, unless the protocol ignores it (``Matches.ignored``). Let ``same`` be its largest
    IoU with an annotation of its class, ``other`` that with one of another class, both among the
    annotations of the image that count. The first that applies, in the order of tidecv 1.0.1:

    - localisation: background <= same <= foreground;
    - classification: other >= foreground;
    - duplicate: same >= foreground, so that others with higher scores took all such annotations;
    - background: other <= background;
    - both: the rest, background < other < foreground.

    Since its category is judged and exhaustively annotated there, it is known that a detection on
    an annotation of another class is wrong. An annotation that counts is missed if no detection
    takes it and none would by the repair of a classification or localisation error.

    Args:
        truth: Annotations.
        matches: At the foreground threshold.
        overlaps: From the background threshold on.
        foreground, background: IoU.

    Returns:
        (N,) int64 index in ``KINDS`` of each detection, -1 where it is no error; (N,) int64
        annotation that would be taken after a repair of classification or localisation, -1 where
        there is none; (G,) bool, missed.
    """
    wrong = ~matches.hit[0] & ~matches.ignored[0]
    pairs = wrong[overlaps.detection]
    detection, annotation = overlaps.detection[pairs], overlaps.annotation[pairs]
    iou = overlaps.iou[pairs]
    own = truth.category[annotation] == matches.category[detection]
    best = []
    for chosen in (own, ~own):
        value, target = np.zeros(len(wrong)), np.full(len(wrong), -1)
        order = np.lexsort((annotation[chosen], -iou[chosen], detection[chosen]))
        first, place = np.unique(detection[chosen][order], return_index=True)
        value[first] = iou[chosen][order[place]]
        target[first] = annotation[chosen][order[place]]
        best.append((value, target))
    (same, same_target), (other, other_target) = best
    misplaced = (same >= background) & (same <= foreground)
    conditions = [
        ~wrong,
        misplaced,
        other >= foreground,
        same >= foreground,
        other <= background,
    ]
    kinds = [-1, _LOCALISATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND]
    kind = np.select(conditions, kinds, _BOTH)
    target = np.full(len(wrong), -1)
    for number, targets in ((_LOCALISATION, same_target), (_CLASSIFICATION, other_target)):
        target[kind == number] = targets[kind == number]
    missed = matches.counted.copy()
    missed[matches.annotation[0][matches.hit[0]]] = False
    missed[target[target >= 0]] = False
    return kind, target, missed


def count_and_cost(
    truth: GroundTruth,
    matches: Matches,
    kind: np.ndarray,
    target: np.ndarray,
    missed: np.ndarray,
    categories: np.ndarray | None = None,
) -> dict:
    """Count the errors of each kind and what each kind costs.

    The cost of a kind is TIDE's dAP: AP50 with that kind repaired, all else as it is, minus AP50.
    Repaired, a localisation error is a hit at its score, and a classification error one of the
    annotation's class; only if nothing takes the annotation, and only the best of all errors with
    that annotation: the others are removed. Of the kinds both, duplicate and background all are
    removed. Missed annotations are no longer to be found; a class that is left without any has
    AP50 1 then (tidecv gives it 0, which would hide rare classes that are missed altogether).

    Errors are counted for the class that the detection names, missed ones for the annotation's.

    Args:
        truth, matches: As in ``find_errors``.
        kind, target, missed: Its results.
        categories: (K,) bool, classes that are reported.

    Returns:
        For 'all' and each group: 'AP50' (0 to 1), 'cost' and 'count' per kind.
    """
    size = truth.num_categories
    wanted = np.bincount(truth.category[matches.counted], minlength=size)
    usable = np.flatnonzero(target >= 0)
    taken = np.zeros(len(truth.rows), bool)
    taken[matches.annotation[0][matches.hit[0]]] = True
    usable = usable[~taken[target[usable]]]
    order = np.lexsort((matches.rows[usable], -matches.score[usable], target[usable]))
    _, place = np.unique(target[usable][order], return_index=True)
    best = np.zeros(len(kind), bool)
    best[usable[order[place]]] = True

    def evaluate(repaired: int = -1) -> np.ndarray:
        keep, hit, category = ~matches.ignored[0], matches.hit[0], matches.category
        number = wanted
        if repaired == _MISSED:
            number = wanted - np.bincount(truth.category[missed], minlength=size)
        elif repaired >= 0:
            fixed = best & (kind == repaired)
            keep = keep & ((kind != repaired) | fixed)
            hit = hit | fixed
            category = category.copy()
            category[fixed] = truth.category[target[fixed]]
        rows = np.flatnonzero(keep)
        if repaired == _CLASSIFICATION:
            rows = rows[np.lexsort((-matches.score[rows], category[rows]))]
        precision = class_precision(category[rows], matches.score[rows], hit[rows], number)
        return np.where((number == 0) & (wanted > 0), 1.0, precision)

    now = evaluate()
    gains = [evaluate(number) - now for number in range(len(KINDS))]
    report = {}
    for name, classes in class_groups(truth, categories).items():
        chosen = classes & (wanted > 0)
        named = np.bincount(kind[(kind >= 0) & classes[matches.category]], minlength=len(KINDS))
        named[_MISSED] = np.count_nonzero(missed & classes[truth.category])
        report[name] = {
            'AP50': _mean(now[chosen]),
            'cost': {k: _mean(gain[chosen]) for k, gain in zip(KINDS, gains)},
            'count': dict(zip(KINDS, named.tolist())),
        }
    return report


def class_precision(
    category: np.ndarray, score: np.ndarray, hit: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Average precision of each class at one threshold, from 101 recall points.

    Args:
        category, score, hit: (N,) of the detections that count, by category, then from the highest
            score down.
        wanted: (K,) numbers of annotations.

    Returns:
        (K,) float64, NaN where there is nothing to find.
    """
    from hotcoco.metrics import average_precision

    bounds = np.searchsorted(category, np.arange(len(wanted) + 1)).tolist()
    result = np.full(len(wanted), np.nan)
    for k in np.flatnonzero(wanted > 0).tolist():
        rows = slice(bounds[k], bounds[k + 1])
        result[k] = average_precision(score[rows], hit[rows], int(wanted[k]), rec_thrs=_RECALLS)
    return result


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
