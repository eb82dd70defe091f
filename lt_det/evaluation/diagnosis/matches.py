"""Which detection takes which annotation, and how much they overlap: what all diagnoses start from.

The engine, hotcoco, decides the matches. Overlaps with annotations of other classes it keeps to
itself, so they are asked of it again, image by image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ...formats.segmentations import to_rle
from ..detections import Detections, within_limit
from ..engine import load
from ..ground_truth import FREQUENCY_GROUPS, GroundTruth, box_polygon

MAX_DETS = {'lvis': 300, 'coco': 100}
_CHUNK = 1000  # images whose matches are Python lists at the same time
_ANY_AREA = [0.0, 1e10]
_INFINITE = 1e300
_SMALLEST = float(np.nextafter(0, 1))


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
    """

    rows: np.ndarray
    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    annotation: np.ndarray
    ignored: np.ndarray
    counted: np.ndarray

    @property
    def hit(self) -> np.ndarray:
        """(T, N) bool, whether a detection takes an annotation that counts."""
        return (self.annotation >= 0) & ~self.ignored


@dataclass
class Overlaps:
    """P pairs of a scored detection and a counted annotation of its image, any classes.

    Attributes:
        detection: (P,) int64 numbers of the N detections of ``Matches``.
        annotation: (P,) int64 numbers of the G annotations.
        iou: (P,) float64, at least the smallest that was asked for.
    """

    detection: np.ndarray
    annotation: np.ndarray
    iou: np.ndarray


def match(
    truth: GroundTruth,
    detections: Detections,
    iou_type: str = 'bbox',
    max_dets: int | None = None,
    thresholds: Iterable[float] = (0.5,),
    images: np.ndarray | None = None,
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
    """
    from hotcoco import COCOeval

    if images is None:
        images = np.ones(truth.num_images, bool)
    limit = MAX_DETS[truth.protocol] if max_dets is None else max_dets
    group = detections.image.astype(np.int64)
    if truth.protocol == 'coco':
        group = group * truth.num_categories + detections.category
    keep = within_limit(group, detections.score, limit) & images[detections.image]
    rows = np.flatnonzero(keep & truth.judged(detections.image, detections.category))
    dt = load(truth, detections.take(rows), iou_type)
    if truth.protocol == 'lvis' and dt.get_ann_ids(area_rng=[-_INFINITE, 0]):
        # lvis-api leaves out detections without an area, after the limit
        dt = dt.filter(area_rng=[_SMALLEST, _INFINITE], drop_empty_images=False)
    engine = COCOeval(
        truth.engine(iou_type != 'bbox'), dt, iou_type, lvis_style=truth.protocol == 'lvis'
    )
    engine.params.iou_thrs = [float(threshold) for threshold in thresholds]
    engine.params.area_rng, engine.params.area_rng_lbl = [_ANY_AREA], ['all']
    engine.params.max_dets = [max(len(rows), 1)]
    counted = np.zeros(len(truth.rows), bool)
    image_ids = np.sort(truth.image_ids[images])
    parts = [_flatten([], len(engine.params.iou_thrs), counted)]
    for start in range(0, len(image_ids), _CHUNK):
        engine.params.img_ids = image_ids[start : start + _CHUNK].tolist()
        engine.evaluate()
        parts.append(_flatten(engine.eval_imgs, len(engine.params.iou_thrs), counted))
    loaded, annotation, ignored = (np.concatenate(column, axis=-1) for column in zip(*parts))
    rows = rows[loaded]
    order = np.lexsort((-detections.score[rows], detections.category[rows]))
    rows = rows[order]
    columns = (getattr(detections, name)[rows] for name in ('image', 'category', 'score'))
    return Matches(rows, *columns, annotation[:, order], ignored[:, order], counted)


def _flatten(cells: list, num_thresholds: int, counted: np.ndarray) -> tuple[np.ndarray, ...]:
    """(n,) numbers of the loaded detections, (T, n) annotations that they take, (T, n) ignored.

    ``counted`` is filled in. Ids in the engine are numbers plus one, so no match is 0.
    """
    cells = [cell for cell in cells if cell is not None]

    def joined(lists: Iterable[list], dtype: type) -> np.ndarray:
        return np.fromiter(chain.from_iterable(lists), dtype)

    seen = joined((cell['gtIds'] for cell in cells), np.int64) - 1
    counted[seen] = ~joined((cell['gtIgnore'] for cell in cells), bool)
    loaded = joined((cell['dtIds'] for cell in cells), np.int64) - 1
    thresholds = range(num_thresholds)
    annotation = [joined((c['dtMatches'][t] for c in cells), np.int32) - 1 for t in thresholds]
    ignored = [joined((c['dtIgnore'][t] for c in cells), bool) for t in thresholds]
    return loaded, np.array(annotation, np.int32), np.array(ignored, bool)


def find_overlaps(
    truth: GroundTruth,
    detections: Detections,
    matches: Matches,
    iou_type: str = 'bbox',
    smallest: float = 0.1,
) -> Overlaps:
    """Find the counted annotations, of any class, that scored detections overlap with.

    Args:
        truth, detections, iou_type: As in ``match``.
        matches: Its result.
        smallest: Overlap below which a pair is left out.
    """
    from hotcoco import mask as engine

    by_image = np.argsort(matches.image, kind='stable')
    counted = np.flatnonzero(matches.counted)
    present = np.unique(matches.image)
    starts = np.searchsorted(matches.image[by_image], present)
    firsts, lasts = np.searchsorted(truth.image[counted], [present, present + 1])
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for image, start, end, first, last in zip(
        present.tolist(), starts.tolist(), [*starts[1:].tolist(), len(by_image)], firsts, lasts
    ):
        if first == last:
            continue
        found, wanted = by_image[start:end], counted[first:last]
        no_crowds = np.zeros(len(wanted), bool)
        rows = matches.rows[found]
        if iou_type == 'bbox':
            iou = engine.bbox_iou(detections.boxes[rows], truth.boxes[wanted], no_crowds)
        else:
            height, width = truth.image_sizes[image].tolist()
            codes = [
                [to_rle(mask, height, width) for mask in masks]
                for masks in (
                    [_mask(detections, row) for row in rows.tolist()],
                    [truth.segmentation(i) for i in wanted.tolist()],
                )
            ]
            iou = engine.iou(*codes, no_crowds)
        rows, columns = np.nonzero(iou >= smallest)
        parts.append((found[rows], wanted[columns], iou[rows, columns]))
    return Overlaps(*(np.concatenate(columns) for columns in zip(*parts)))


def _mask(detections: Detections, row: int) -> list | dict:
    masks = detections.segmentations
    if masks is None or masks[row] is None:
        return box_polygon(detections.boxes[row])
    return masks[row]


def class_groups(truth: GroundTruth, categories: np.ndarray | None = None) -> dict:
    """(K,) bool of 'all' classes that are reported, and of those of each group that has any."""
    chosen = np.ones(truth.num_categories, bool) if categories is None else categories
    groups = {'all': chosen}
    for name in FREQUENCY_GROUPS:
        if (chosen & (truth.frequency == name)).any():
            groups[name] = chosen & (truth.frequency == name)
    return groups
