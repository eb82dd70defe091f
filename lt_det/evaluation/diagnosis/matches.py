"""Which detection takes which annotation: what all diagnoses start from.

Overlaps come from the engines, hotcoco (boxes) and pycocotools (masks). The matches follow from
them here: hotcoco decides them alike, but gives them as Python lists, one cell of an image and a
class after the other, which takes longer than everything else. Tests hold both against each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ...formats.coded_masks import CodedMasks
from ...formats.segmentations import to_rle
from ..detections import Detections, within_limit
from ..engine import MAX_DETS
from ..ground_truth import FREQUENCY_GROUPS, GroundTruth, box_polygon
from .overlaps import Overlaps, find_overlaps

_LARGEST = 1e10  # square pixels that count
_SURE = 1 - 1e-10  # pycocotools' overlap that is 1


@dataclass
class Matches:
    """N detections that the protocol scores, by category, then from the highest score down.

    Equal scores are in the order of the engine: by image id, then as given.

    Attributes:
        rows: (N,) int64 rows among the detections that were given.
        image, category, score: (N,) of those rows.
        annotation: (T, N) int32 annotation that each takes at each of T thresholds, -1 for none.
        ignored: (T, N) bool, neither hit nor false positive: it takes an annotation that does not
            count, or none and its category is not exhaustively annotated on the image.
        counted: (G,) bool, annotations that are to be found.
        overlaps: Pairs of a scored detection and a counted annotation of its image, any classes;
            None where they were not asked for.
    """

    rows: np.ndarray
    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    annotation: np.ndarray
    ignored: np.ndarray
    counted: np.ndarray
    overlaps: Overlaps | None = None

    @property
    def hit(self) -> np.ndarray:
        """(T, N) bool, whether a detection takes an annotation that counts."""
        return (self.annotation >= 0) & ~self.ignored


def match(
    truth: GroundTruth,
    detections: Detections,
    iou_type: str = 'bbox',
    max_dets: int | None = None,
    thresholds: Iterable[float] = (0.5,),
    images: np.ndarray | None = None,
    smallest: float | None = None,
) -> Matches:
    """Match detections and annotations of the same category, as the protocol does.

    Args:
        truth: Annotations and their protocol.
        detections: Of any number of images.
        iou_type: 'bbox' or 'segm'.
        max_dets: Detections that count, of an image (lvis) or of each category of an image (coco);
            300 and 100 by default, all if negative.
        thresholds: T overlaps from which a detection takes an annotation.
        images: (I,) bool, those to look at; all by default.
        smallest: Overlap from which on the pairs are kept, of any classes; it is at most the
            smallest threshold. None: they are not kept.
    """
    if images is None:
        images = np.ones(truth.num_images, bool)
    limit = MAX_DETS[truth.protocol] if max_dets is None else max_dets
    group = detections.image.astype(np.int64)
    if truth.protocol == 'coco':
        group = group * truth.num_categories + detections.category
    keep = within_limit(group, detections.score, limit) & images[detections.image]
    rows = np.flatnonzero(keep & truth.judged(detections.image, detections.category))
    score, image_id = detections.score[rows], truth.image_ids[detections.image[rows]]
    rows = rows[np.lexsort((rows, image_id, -score, detections.category[rows]))]
    scored = _comparable(truth, detections.take(rows), iou_type)
    areas = scored.areas()
    if truth.protocol == 'lvis' and not (areas > 0).all():  # lvis-api leaves these out
        rows, scored, areas = rows[areas > 0], scored.take(areas > 0), areas[areas > 0]
    counted = images[truth.image] & ~_never_count(truth, iou_type)
    levels = np.minimum(np.array([*thresholds], float), _SURE)
    least = levels.min() if smallest is None else min(smallest, levels.min())
    pairs = find_overlaps(truth, scored, iou_type, least, own_class=smallest is None)
    own = truth.category[pairs.annotation] == scored.category[pairs.detection]
    own &= pairs.iou >= levels.min()
    annotation = _take(truth, scored, pairs.take(own), counted, levels)
    out = (areas > _LARGEST) | truth.partly_annotated(scored.image, scored.category)
    ignored = np.tile(out, (len(levels), 1))
    ignored[annotation >= 0] = ~counted[annotation[annotation >= 0]]
    kept = None if smallest is None else pairs.take(counted[pairs.annotation])
    columns = rows, scored.image, scored.category, scored.score
    return Matches(*columns, annotation, ignored, counted, kept)


def _comparable(truth: GroundTruth, detections: Detections, iou_type: str) -> Detections:
    """The same with boxes, or with masks as codes."""
    if iou_type == 'bbox':
        return replace(detections.boxed(truth), segmentations=None)
    if isinstance(detections.segmentations, CodedMasks):
        return detections
    masks = detections.segmentations or [None] * len(detections)
    sizes = truth.image_sizes[detections.image].tolist()
    codes = [
        to_rle(box_polygon(detections.boxes[row]) if mask is None else mask, *size)
        for row, (mask, size) in enumerate(zip(masks, sizes))
    ]
    return replace(detections, segmentations=codes)


def _never_count(truth: GroundTruth, iou_type: str) -> np.ndarray:
    """(G,) bool, annotations that can be taken, but need not be found."""
    never = truth.ignore | (truth.areas < 0) | (truth.areas > _LARGEST)
    if iou_type != 'bbox':
        never = never | (truth.columns.arrays['mask_problem'][truth.rows] > 0)
    return never


def _take(
    truth: GroundTruth,
    detections: Detections,
    pairs: Overlaps,
    counted: np.ndarray,
    levels: np.ndarray,
) -> np.ndarray:
    """(T, N) int32 annotation that each detection takes at each of T levels, -1 for none.

    In each cell of an image and a category, one detection after the other takes what is left: the
    annotation that it overlaps with most, the later one of equals; one that does not count only
    where no other is left. Crowds (coco) are never used up. All cells go on at the same time.

    Args:
        truth: Annotations.
        detections: The N detections; those of a cell from the highest score down.
        pairs: Of the same category, from the lowest level on.
        counted: (G,) bool.
        levels: (T,) overlaps.
    """
    result = np.full((len(levels), len(detections)), -1, np.int32)
    taken = np.zeros((len(levels), len(truth.rows)), bool)
    able = np.unique(pairs.detection)
    cell = detections.image[able] * truth.num_categories + detections.category[able]
    order = np.argsort(cell, kind='stable')
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    turn = np.zeros(len(detections), np.int64)
    sizes = np.diff(starts, append=len(able))
    turn[able[order]] = np.arange(len(able)) - np.repeat(starts, sizes)

    turns = turn[pairs.detection]
    keys = pairs.annotation, pairs.iou, counted[pairs.annotation], pairs.detection, turns
    order = np.lexsort(keys)  # the best of each detection comes last
    pairs, turns = pairs.take(order), turns[order]
    again = truth.crowd & (truth.protocol == 'coco')
    bounds = np.searchsorted(turns, np.arange(sizes.max(initial=0) + 1)).tolist()
    for first, last in pairwise(bounds):
        annotation = pairs.annotation[first:last]
        free = ~taken[:, annotation] | again[annotation]
        free &= pairs.iou[first:last] >= levels[:, None]
        starts = np.flatnonzero(np.diff(pairs.detection[first:last], prepend=-1))
        numbers = np.where(free, np.arange(first, last), -1)
        best = np.maximum.reduceat(numbers, starts, axis=1)
        level, column = np.nonzero(best >= 0)
        best = best[level, column]
        result[level, pairs.detection[best]] = pairs.annotation[best]
        taken[level, pairs.annotation[best]] = True
    return result


def class_groups(truth: GroundTruth, categories: np.ndarray | None = None) -> dict:
    """(K,) bool of 'all' classes that are reported, and of those of each group that has any."""
    chosen = np.ones(truth.num_categories, bool) if categories is None else categories
    groups = {'all': chosen}
    for name in FREQUENCY_GROUPS:
        if (chosen & (truth.frequency == name)).any():
            groups[name] = chosen & (truth.frequency == name)
    return groups


def metric_groups(truth: GroundTruth, categories: np.ndarray | None = None) -> dict:
    """(K,) bool of the classes that AP is the mean of, and each of APr, APc, APf that has any."""
    groups = class_groups(truth, categories)
    return {'AP' if name == 'all' else f'AP{name}': classes for name, classes in groups.items()}
