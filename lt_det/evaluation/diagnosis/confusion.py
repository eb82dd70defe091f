"""Where objects go: which class has the best detection on an annotation."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..ground_truth import GroundTruth
from .matches import Matches, class_groups
from .overlaps import Overlaps

NUM_CONFUSIONS = 10


def takers(matches: Matches, overlaps: Overlaps, threshold: float = 0.5) -> np.ndarray:
    """Find the detection that takes each annotation: the highest score on it, whatever its class.

    Only detections that the protocol scores can take an annotation: their category is judged on the
    image and they are not ignored, so that a detection of another class is known to be wrong. On
    equal scores the earlier detection takes it. A detection may take several annotations.

    Args:
        matches: At any threshold.
        overlaps: From ``threshold`` on, or lower.
        threshold: Smallest IoU.

    Returns:
        (G,) int64 numbers of the N detections, -1 where there is none, and where the annotation
        does not count.
    """
    pairs = (overlaps.iou >= threshold) & ~matches.ignored[0][overlaps.detection]
    detection, annotation = overlaps.detection[pairs], overlaps.annotation[pairs]
    order = np.lexsort((matches.rows[detection], -matches.score[detection], annotation))
    first, place = np.unique(annotation[order], return_index=True)
    result = np.full(len(matches.counted), -1)
    result[first] = detection[order[place]]
    return result


def count_confusions(
    truth: GroundTruth, matches: Matches, taker: np.ndarray, categories: np.ndarray | None = None
) -> dict:
    """Count where the annotations of each group and each class go.

    Args:
        truth, matches: As in ``takers``.
        taker: Its result.
        categories: (K,) bool, classes that are reported.

    Returns:
        'columns', names of the counts: 'correct' (own class), then other classes by their group
        ('other' where groups are not known), then 'missed'; 'groups', those counts for the
        annotations of all classes and of each group; 'classes', for each class with annotations its
        id, name, group, numbers of annotations, correct and missed, and its ten most frequent
        confusions, [name, count].
    """
    names = [name for name in class_groups(truth) if name != 'all'] or ['other']
    column_of = {name: number for number, name in enumerate(names, 1)}
    columns = ['correct', *names, 'missed']
    annotation = np.flatnonzero(matches.counted)
    own = truth.category[annotation]
    given = np.full(len(annotation), -1)
    taken = taker[annotation] >= 0
    given[taken] = matches.category[taker[annotation[taken]]]
    group_column = np.array([column_of.get(g, 1) for g in truth.frequency], np.int64)
    column = np.where(given < 0, len(columns) - 1, group_column[given])
    column[given == own] = 0
    groups = {
        name: np.bincount(column[classes[own]], minlength=len(columns)).tolist()
        for name, classes in class_groups(truth, categories).items()
    }
    reported = class_groups(truth, categories)['all']
    classes = []
    order = np.argsort(own, kind='stable')
    ends = np.searchsorted(own[order], np.arange(truth.num_categories), 'right')
    for k, found in enumerate(np.split(given[order], ends[:-1])):
        if not len(found) or not reported[k]:
            continue
        others = Counter(found[(found >= 0) & (found != k)].tolist())
        classes.append(
            {
                'id': int(truth.category_ids[k]),
                'name': truth.category_names[k],
                'group': str(truth.frequency[k]),
                'annotations': len(found),
                'correct': int((found == k).sum()),
                'missed': int((found < 0).sum()),
                'confusions': [
                    [truth.category_names[c], count]
                    for c, count in sorted(others.items(), key=_by_count)[:NUM_CONFUSIONS]
                ],
            }
        )
    return {'columns': columns, 'groups': groups, 'classes': classes}


def _by_count(item: tuple[int, int]) -> tuple[int, int]:
    """The most frequent first, then by category."""
    return -item[1], item[0]
