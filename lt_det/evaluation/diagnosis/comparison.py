"""Two runs on the same images: is the difference more than chance?"""

from __future__ import annotations

import numpy as np

from ...forks import map_parts
from ..detections import Detections
from ..ground_truth import GroundTruth
from .matches import Matches, class_groups, match, metric_groups

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_PERCENTILES = (2.5, 97.5)
# of detections times resamples
_BLOCK = 4_000_000  # looked at together
_MANY = 10_000_000  # which take longer than a fork


def compare(
    truth: GroundTruth,
    detections_a: Detections,
    detections_b: Detections,
    iou_type: str = 'bbox',
    num_resamples: int = 200,
    seed: int = 0,
    max_dets: int | None = None,
    images: np.ndarray | None = None,
    categories: np.ndarray | None = None,
) -> dict:
    """Compare two runs by a paired bootstrap over images (Efron and Tibshirani 1993, ch. 13).

    A resample draws as many images as there are, with replacement, the same ones for both runs; an
    image that is drawn twice counts twice. In each the metric is computed in full: 10 IoU
    thresholds, 101 recall points, classes without annotations in the resample left out. The
    interval is that between the 2.5 and 97.5 percentiles of the differences. (hotcoco's ``compare``
    counts an image that is drawn twice once, and has no intervals per class.)

    Args:
        truth: Annotations.
        detections_a, detections_b: The two runs.
        iou_type: 'bbox' or 'segm'.
        num_resamples: R.
        seed: Of the resampling.
        max_dets: As in ``matches.match``.
        images: (I,) bool, those to look at; all by default.
        categories: (K,) bool, classes that are reported; all by default.

    Returns:
        'metrics', for AP and each of APr, APc and APf whose group has classes, and 'classes', for
        each class with annotations (with 'id', 'name', 'group' and the number of 'images' with it):
        'a', 'b', 'difference' (b - a) and 'interval', as fractions, None where there is nothing to
        find. Resamples without the class say nothing of it, so the interval of a class in very few
        images is too narrow: that of a class in one image has hardly any width.
    """
    images = np.ones(truth.num_images, bool) if images is None else images
    weights = resample(images, num_resamples, seed)
    runs = []
    for detections in (detections_a, detections_b):
        matches = match(truth, detections, iou_type, max_dets, THRESHOLDS, images)
        runs.append(resampled_precision(truth, matches, weights))
        del matches
    metrics = {}
    for name, classes in metric_groups(truth, categories).items():
        means = [means_of_known(values[:, classes]) for values in runs]
        metrics[name] = _difference(*means)
    reported = class_groups(truth, categories)['all'] & ~np.isnan(runs[0][0])
    homes = np.unique(truth.image * truth.num_categories + truth.category)
    homes = homes[images[homes // truth.num_categories]] % truth.num_categories
    num_homes = np.bincount(homes, minlength=truth.num_categories)
    return {
        'protocol': truth.protocol,
        'iou_type': iou_type,
        'num_images': int(images.sum()),
        'num_resamples': num_resamples,
        'seed': seed,
        'metrics': metrics,
        'classes': [
            {
                'id': int(truth.category_ids[k]),
                'name': truth.category_names[k],
                'group': str(truth.frequency[k]),
                'images': int(num_homes[k]),
                **_difference(runs[0][:, k], runs[1][:, k]),
            }
            for k in np.flatnonzero(reported).tolist()
        ],
    }


def resample(images: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """How often each image is in each resample.

    Args:
        images: (I,) bool, images to draw from.
        num_resamples: R.
        seed: Of the drawing.

    Returns:
        (1 + R, I) int32; the first row is every image once.
    """
    chosen = np.flatnonzero(images)
    weights = np.zeros((1 + num_resamples, len(images)), np.int32)
    weights[0, chosen] = 1
    rng = np.random.default_rng(seed)
    for row in weights[1:] if len(chosen) else ():
        drawn = rng.integers(0, len(chosen), len(chosen))
        row[chosen] = np.bincount(drawn, minlength=len(chosen))
    return weights


def resampled_precision(truth: GroundTruth, matches: Matches, weights: np.ndarray) -> np.ndarray:
    """Average precision of each class in each resample.

    Args:
        truth: Annotations.
        matches: At T thresholds.
        weights: (S, I) int32, how often each image is there.

    Returns:
        (S, K) float64, NaN where a class has no annotation in a resample.
    """
    per_image = np.ascontiguousarray(weights.T)
    size = truth.num_categories
    starts = np.searchsorted(matches.category, np.arange(size + 1))
    counted = np.flatnonzero(matches.counted)
    counted = counted[np.argsort(truth.category[counted], kind='stable')]
    bounds = np.searchsorted(truth.category[counted], np.arange(size + 1))
    hit = matches.hit

    def of(classes: list[int]) -> np.ndarray:
        result = np.full((len(weights), len(classes)), np.nan)
        for column, k in enumerate(classes):
            rows = slice(starts[k], starts[k + 1])
            image = matches.image[rows]
            step = max(_BLOCK // max(len(image), 1), 1)
            homes = truth.image[counted[bounds[k] : bounds[k + 1]]]
            for first in range(0, len(weights), step):
                block = slice(first, first + step)
                wanted = per_image[homes, block].sum(0)
                values = class_precision(
                    per_image[image, block], hit[:, rows], matches.ignored[:, rows], wanted
                )
                result[block, column] = np.where(wanted > 0, values, np.nan)
        return result

    known = np.flatnonzero(np.diff(bounds)).tolist()
    parts = map_parts(of, known, len(matches.rows) * len(weights) >= _MANY)
    result = np.full((len(weights), size), np.nan)
    result[:, known] = np.concatenate(parts, axis=1)
    return result


def class_precision(
    weights: np.ndarray, hit: np.ndarray, ignored: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Average precision of a class under several weights of its detections.

    Precision is highest right at a hit, so only hits are looked at. Detections that count at the
    first threshold are summed up once; those that are ignored at some thresholds only are added and
    taken away.

    Args:
        weights: (n, S) int32 of the detections, from the highest score down.
        hit, ignored: (T, n) bool.
        wanted: (S,) weights of the annotations.

    Returns:
        (S,) float64, means over the T thresholds; of no meaning where ``wanted`` is 0.
    """
    counted = weights * ~ignored[0][:, None] if ignored[0].any() else weights
    first = np.cumsum(counted, axis=0, dtype=np.int32)
    result, columns = np.zeros(weights.shape[1]), np.arange(weights.shape[1])
    most = weights[hit.any(0)].sum(0).max(initial=0)
    recall = np.arange(most + 1)[:, None] / np.maximum(wanted, 1)
    points = recall_points(np.minimum(recall, 1)).astype(np.float64)  # of each number of hits
    for hits, out in zip(hit, ignored):
        place = np.flatnonzero(hits)
        if not len(place):
            continue
        number = first[place]
        changed = np.flatnonzero(out != ignored[0])
        if len(changed):
            sign = np.where(out[changed], -1, 1).astype(np.int32)[:, None]
            extra = np.cumsum(weights[changed] * sign, axis=0, dtype=np.int32)
            before = np.searchsorted(changed, place, 'right')
            number[before > 0] += extra[before[before > 0] - 1]
        found = np.cumsum(weights[place], axis=0, dtype=np.int32)
        precision = found / np.maximum(number, 1)
        envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        gained = np.diff(points[found, columns], axis=0, prepend=0)
        result += (envelope * gained).sum(0)
    return result / (len(_RECALLS) * len(hit))


def recall_points(recall: np.ndarray) -> np.ndarray:
    """How many of the 101 recall points 0, 0.01, ..., 1 are at most each recall, any shape."""
    nearest = np.rint(recall * 100).astype(np.intp)
    return nearest + (_RECALLS[nearest] <= recall)


def means_of_known(values: np.ndarray) -> np.ndarray:
    """(S,) means of (S, k) over what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    number = known.sum(1)
    total = np.where(known, values, 0).sum(1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _difference(a: np.ndarray, b: np.ndarray) -> dict:
    """Values of two runs, the first for all images once, the others for the resamples."""
    known = not np.isnan(a[0])
    return {
        'a': float(a[0]) if known else None,
        'b': float(b[0]) if known else None,
        'difference': float(b[0] - a[0]) if known else None,
        'interval': interval_of((b - a)[1:]),
    }


def interval_of(changes: np.ndarray) -> list[float] | None:
    """Between the 2.5 and 97.5 percentiles of resamples (R,), NaN left out; None without any."""
    changes = changes[~np.isnan(changes)]
    return np.percentile(changes, _PERCENTILES).tolist() if len(changes) else None
