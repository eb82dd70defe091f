"""Detections of a run as the numbers of a page: classes, errors, flows, scores, intervals.

K categories, R resamples, T IoU thresholds 0.50:0.05:0.95; the protocol's matches at all of them
are made once per IoU type, and everything comes from those.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...evaluation.detections import Detections
from ...evaluation.diagnosis import BACKGROUND, FOREGROUND, KINDS
from ...evaluation.diagnosis.calibration import NUM_HISTOGRAM_BINS, measure_calibration
from ...evaluation.diagnosis.comparison import THRESHOLDS, means_of_known, resampled_precision
from ...evaluation.diagnosis.confusion import count_confusions, takers
from ...evaluation.diagnosis.errors import count_and_cost, find_errors
from ...evaluation.diagnosis.matches import Matches, match
from ...evaluation.diagnosis.overlaps import Overlaps
from ...evaluation.ground_truth import GroundTruth
from ...evaluation.kept_detections import KeptDetections
from .values import plain

_MOST_CONFUSIONS = 2000


@dataclass
class Precision:
    """What the headline and the table say of detections of one IoU type.

    Attributes:
        wanted: (K,) annotations that are to be found.
        hits: (T, K) annotations that are found.
        precision: (1 + R, K) AP of each class, first of all images, then of each resample; NaN
            where there is nothing to find.
    """

    wanted: np.ndarray
    hits: np.ndarray
    precision: np.ndarray

    @cached_property
    def recall(self) -> np.ndarray:
        """(K,) recall, the mean over the thresholds; NaN where there is nothing to find."""
        share = self.hits / np.maximum(self.wanted, 1)
        return np.where(self.wanted > 0, share.mean(0), np.nan)

    def means(self, classes: np.ndarray) -> np.ndarray:
        """(1 + R,) AP over some classes, (K,) bool."""
        return means_of_known(self.precision[:, classes])


def measure(
    truth: GroundTruth,
    kept: KeptDetections,
    iou_type: str,
    max_dets: int,
    weights: np.ndarray,
    smallest: float | None = None,
) -> tuple[Precision, Matches]:
    """Match detections; the matches take memory.

    Args:
        truth: Annotations.
        kept: Detections and what they are judged on.
        iou_type: 'bbox' or 'segm'.
        max_dets, smallest: As in ``matches.match``.
        weights: (1 + R, I) int32, how often each image is in each resample.
    """
    detections = kept.detections[iou_type]
    matches = match(truth, detections, iou_type, max_dets, THRESHOLDS, kept.images, smallest)
    precision = resampled_precision(truth, matches, weights)
    precision[:, ~kept.categories] = np.nan
    size = truth.num_categories
    wanted = np.bincount(truth.category[matches.counted], minlength=size)
    hits = np.stack([np.bincount(matches.category[h], minlength=size) for h in matches.hit])
    return Precision(wanted, hits, precision), matches


@dataclass
class Judged(Precision):
    """Detections of one IoU type, matched.

    Attributes:
        truth, detections, iou_type: As given.
        matches: At the T thresholds, with the overlaps.
    """

    truth: GroundTruth
    detections: Detections
    iou_type: str
    matches: Matches

    @classmethod
    def of(
        cls,
        truth: GroundTruth,
        kept: KeptDetections,
        iou_type: str,
        max_dets: int,
        weights: np.ndarray,
    ) -> Judged:
        """Match detections; arguments as in ``measure``."""
        numbers, matches = measure(truth, kept, iou_type, max_dets, weights, BACKGROUND)
        detections = kept.detections[iou_type]
        if iou_type == 'bbox':
            detections = detections.boxed(truth)
        shown = truth, detections, iou_type, matches
        return cls(numbers.wanted, numbers.hits, numbers.precision, *shown)

    @cached_property
    def hit(self) -> np.ndarray:
        """(N,) bool, detections that take an annotation at the first threshold."""
        return self.matches.hit[0]

    @cached_property
    def wrong(self) -> np.ndarray:
        """(N,) bool, false positives at the first threshold."""
        return ~self.hit & ~self.matches.ignored[0]

    @cached_property
    def false_positives(self) -> np.ndarray:
        """(K,) detections that are wrong at the first threshold."""
        named = self.matches.category[self.wrong]
        return np.bincount(named, minlength=self.truth.num_categories)

    @property
    def overlaps(self) -> Overlaps:
        """Annotations, of any class, under the detections."""
        return self.matches.overlaps

    @cached_property
    def taker(self) -> np.ndarray:
        """(G,) detection that takes each annotation, whatever its class, -1 for none."""
        return takers(self.matches, self.overlaps, FOREGROUND)

    @cached_property
    def missed(self) -> np.ndarray:
        """(G,) bool, annotations that are to be found and are not."""
        missed = self.matches.counted.copy()
        missed[self.matches.annotation[0][self.hit]] = False
        return missed

    @cached_property
    def under(self) -> np.ndarray:
        """(N,) annotation that each detection overlaps with most, whatever its class, or -1."""
        pairs = self.overlaps
        order = np.lexsort((pairs.annotation, -pairs.iou, pairs.detection))
        first, place = np.unique(pairs.detection[order], return_index=True)
        result = np.full(len(self.matches.rows), -1)
        result[first] = pairs.annotation[order[place]]
        return result

    def iou(self, detection: int, annotation: int) -> float | None:
        """Overlap of a pair, None below the smallest that counts."""
        pairs = self.overlaps
        same = (pairs.detection == detection) & (pairs.annotation == annotation)
        return float(pairs.iou[same][0]) if same.any() else None


def class_columns(judged: dict[str, Precision], main: str, kept: KeptDetections) -> dict:
    """``classes`` of the schema, but for the training counts and the baseline."""
    chosen = judged[main]
    truth = chosen.truth
    counted = np.flatnonzero(chosen.matches.counted)
    homes = np.unique(truth.image[counted] * truth.num_categories + truth.category[counted])
    images = np.bincount(homes % truth.num_categories, minlength=truth.num_categories)
    return {
        'name': list(truth.category_names),
        'group': [str(group) for group in truth.frequency],
        'images': images.tolist(),
        'annotations': chosen.wanted.tolist(),
        'ap': {iou_type: plain(run.precision[0]) for iou_type, run in judged.items()},
        'ar': {
            iou_type: plain(np.where(kept.categories, run.recall, np.nan))
            for iou_type, run in judged.items()
        },
        'hits': chosen.hits[0].tolist(),
        'misses': (chosen.wanted - chosen.hits[0]).tolist(),
        'false_positives': chosen.false_positives.tolist(),
        'confused_with': _largest(confusions(chosen, kept.categories), truth.num_categories),
    }


def confusions(judged: Judged, categories: np.ndarray) -> list[dict]:
    """Numbers of annotations per own class and class that takes them, None for nothing."""
    truth, matches = judged.truth, judged.matches
    annotation = np.flatnonzero(matches.counted & categories[truth.category])
    taker = judged.taker[annotation]
    given = np.full(len(annotation), -1)
    given[taker >= 0] = matches.category[taker[taker >= 0]]
    own = truth.category[annotation]
    pairs = Counter(zip(own[given != own].tolist(), given[given != own].tolist()))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [
        {'truth': own, 'predicted': None if given < 0 else given, 'count': count}
        for (own, given), count in ordered
    ]


def diagnosis_parts(judged: Judged, categories: np.ndarray) -> dict[str, dict | None]:
    """``errors``, ``flows`` and ``scores`` of the schema."""
    truth, matches = judged.truth, judged.matches
    mistakes = find_errors(truth, matches, judged.overlaps, FOREGROUND, BACKGROUND)
    flows = count_confusions(truth, matches, judged.taker, categories)
    scores = matches.score
    usable = not len(scores) or (scores.min() >= 0 and scores.max() <= 1)
    return {
        'errors': {
            'kinds': list(KINDS),
            'groups': count_and_cost(truth, matches, *mistakes, categories),
        },
        'flows': {
            'columns': flows['columns'],
            'groups': flows['groups'],
            'confusions': confusions(judged, categories)[:_MOST_CONFUSIONS],
        },
        'scores': score_groups(measure_calibration(truth, matches, categories)) if usable else None,
    }


def score_groups(calibration: dict) -> dict:
    """``scores`` of the schema from ``measure_calibration``."""
    edges = [number / NUM_HISTOGRAM_BINS for number in range(NUM_HISTOGRAM_BINS + 1)]
    groups = {}
    for group, values in calibration.items():
        bins = [
            {
                'lower': row['lower'],
                'upper': row['upper'],
                'count': row['count'],
                'confidence': row['score'],
                'accuracy': row['precision'],
            }
            for row in values['reliability']
        ]
        groups[group] = {
            'ece': values['ece'],
            'bins': bins,
            'hits': values['hits'],
            'false_positives': values['false_positives'],
            'edges': edges,
            'best_f1': values['best_f1'],
        }
    return {'groups': groups}


def _largest(ordered: list[dict], size: int) -> list[dict | None]:
    """Per class the most frequent of its confusions with another class."""
    largest: list[dict | None] = [None] * size
    for entry in ordered:
        own, given = entry['truth'], entry['predicted']
        if given is not None and largest[own] is None:
            largest[own] = {'class': given, 'count': entry['count']}
    return largest
