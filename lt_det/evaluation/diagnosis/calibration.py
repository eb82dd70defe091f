"""Whether scores are what they say, per frequency group."""

from __future__ import annotations

import numpy as np

from ...errors import BadInputError
from ..ground_truth import GroundTruth
from .matches import Matches, class_groups

NUM_BINS = 15
NUM_HISTOGRAM_BINS = 50


def measure_calibration(
    truth: GroundTruth,
    matches: Matches,
    categories: np.ndarray | None = None,
    num_bins: int = NUM_BINS,
) -> dict:
    """Compare the scores of the detections that count with how many of them are hits.

    Detections count if their category is judged on the image and they are not ignored. The expected
    calibration error (Guo et al., arXiv 1706.04599) over equally wide bins of the score is
    ``sum_b n_b / n * |precision_b - mean score_b|``; detections of a group are taken together.

    Args:
        truth: Annotations.
        matches: At the threshold from which a detection is a hit.
        categories: (K,) bool, classes that are reported.
        num_bins: Bins of [0, 1], the upper edge belongs to the next one.

    Returns:
        For 'all' and each group, None where there are no detections: 'ece' (0 to 1);
        'reliability', for each bin that is not empty 'lower', 'upper', 'count', 'score' (mean) and
        'precision'; 'best_f1', the 'threshold' (scores of at least that) where F1 of all detections
        and annotations of the group is highest, 'f1', 'precision', 'recall'; 'hits' and
        'false_positives', counts of the scores in 50 equal bins.

    Raises:
        BadInputError: A score is not within 0 and 1.
    """
    keep = ~matches.ignored[0]
    category, score = matches.category[keep], matches.score[keep]
    hit = matches.hit[0][keep]
    check_scores(score)
    report = {}
    for name, classes in class_groups(truth, categories).items():
        chosen = classes[category]
        wanted = int(np.count_nonzero(matches.counted & classes[truth.category]))
        ece, reliability = expected_error(score[chosen], hit[chosen], num_bins)
        report[name] = {
            'ece': ece,
            'reliability': reliability,
            'best_f1': best_f1(score[chosen], hit[chosen], wanted),
            'hits': _histogram(score[chosen & hit]),
            'false_positives': _histogram(score[chosen & ~hit]),
        }
    return report


def check_scores(score: np.ndarray) -> None:
    """Refuse scores (N,) that are no confidences.

    Raises:
        BadInputError: A score is not within 0 and 1.
    """
    bad = score[~((score >= 0) & (score <= 1))]
    if len(bad):
        raise BadInputError(f'a detection has score {bad[0]}; calibration needs scores from 0 to 1')


def expected_error(
    score: np.ndarray, hit: np.ndarray, num_bins: int
) -> tuple[float | None, list[dict]]:
    """The expected calibration error, and the bins it comes from."""
    place = np.minimum((score * num_bins).astype(np.int64), num_bins - 1)
    count = np.bincount(place, minlength=num_bins)
    bins = np.flatnonzero(count)
    mean = np.bincount(place, score, num_bins)[bins] / count[bins]
    precision = np.bincount(place, hit, num_bins)[bins] / count[bins]
    rows = [
        {'lower': b / num_bins, 'upper': (b + 1) / num_bins, 'count': n, 'score': s, 'precision': p}
        for b, n, s, p in zip(*(x.tolist() for x in (bins, count[bins], mean, precision)))
    ]
    if not len(score):
        return None, rows
    return float((count[bins] * np.abs(precision - mean)).sum() / len(score)), rows


def best_f1(score: np.ndarray, hit: np.ndarray, wanted: int) -> dict | None:
    """The score threshold with the best F1 = 2 hits / (detections + annotations).

    Args:
        score, hit: (n,) of the detections that count.
        wanted: Number of annotations.
    """
    if not len(score) or not wanted:
        return None
    order = np.argsort(-score, kind='stable')
    score, hits = score[order], np.cumsum(hit[order])
    number = np.arange(1, len(score) + 1)
    f1 = 2 * hits / (number + wanted)
    f1[:-1][score[:-1] == score[1:]] = -1  # a threshold takes all detections of a score
    i = int(f1.argmax())
    return {
        'threshold': float(score[i]),
        'f1': float(f1[i]),
        'precision': float(hits[i] / number[i]),
        'recall': float(hits[i] / wanted),
    }


def _histogram(score: np.ndarray) -> list[int]:
    place = np.minimum((score * NUM_HISTOGRAM_BINS).astype(np.int64), NUM_HISTOGRAM_BINS - 1)
    return np.bincount(place, minlength=NUM_HISTOGRAM_BINS).tolist()
