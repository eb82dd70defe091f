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
from ..engine import MAX_DETS, load
from ..ground_truth import FREQUENCY_GROUPS, GroundTruth, box_polygon

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
    if images is None:
        images = np.ones(truth.num_images, bool)
    limit = MAX_DETS[truth.protocol] if max_dets is None else max_dets
    group = detections.image.astype(np.int64)
    if truth.protocol == 'coco':
        group = group * truth.num_categories + detections.category
    keep = within_limit(group, detections.score, limit) & images[detections.image]
    rows = np.flatnonzero(keep & truth.judged(detections.image, detections.category))
    alone = np.zeros(len(rows), bool)
    if iou_type == 'bbox' and detections.all_boxed:
        if truth.protocol == 'lvis':  # lvis-api leaves out detections without an area
            rows = rows[detections.boxes[rows, 2:].prod(1) > 0]
        # where nothing is annotated nothing is matched: most pairs in coco need not be looked at
        size = truth.num_categories
        places = detections.image[rows].astype(np.int64) * size + detections.category[rows]
        alone = ~np.isin(places, truth.image * size + truth.category)
    thresholds = [float(threshold) for threshold in thresholds]
    loaded, annotation, ignored, counted = _engine_matches(
        truth, detections.take(rows[~alone]), iou_type, thresholds, images
    )
    alone, rows = rows[alone], rows[~alone][loaded]
    partly = truth.partly_annotated(detections.image[alone], detections.category[alone])
    nothing = np.full((len(thresholds), len(alone)), -1, np.int32)
    annotation = np.concatenate([annotation, nothing], axis=1)
    ignored = np.concatenate([ignored, np.broadcast_to(partly, nothing.shape)], axis=1)
    rows = np.concatenate([rows, alone])
    category, score = detections.category[rows], detections.score[rows]
    order = np.lexsort((rows, truth.image_ids[detections.image[rows]], -score, category))
    rows = rows[order]
    columns = (getattr(detections, name)[rows] for name in ('image', 'category', 'score'))
    return Matches(rows, *columns, annotation[:, order], ignored[:, order], counted)


def _engine_matches(
    truth: GroundTruth,
    detections: Detections,
    iou_type: str,
    thresholds: list[float],
    images: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """(n,) numbers of the detections looked at, (T, n) annotation, (T, n) ignored, (G,) counted."""
    from hotcoco import COCOeval

    dt = load(truth, detections, iou_type)
    federated = truth.protocol == 'lvis'
    if federated and dt.get_ann_ids(area_rng=[-_INFINITE, 0]):
        dt = dt.filter(area_rng=[_SMALLEST, _INFINITE], drop_empty_images=False)
    if federated:  # else the engine applies its own limit of 300
        dt = dt.cap_detections_per_image(None)
    engine = COCOeval(truth.engine(iou_type != 'bbox'), dt, iou_type, lvis_style=federated)
    engine.params.iou_thrs = thresholds
    engine.params.area_rng, engine.params.area_rng_lbl = [_ANY_AREA], ['all']
    engine.params.max_dets = [max(len(detections), 1)]
    counted = np.zeros(len(truth.rows), bool)
    image_ids = np.sort(truth.image_ids[images])
    parts = [_flatten([], len(thresholds), counted)]
    for start in range(0, len(image_ids), _CHUNK):
        engine.params.img_ids = image_ids[start : start + _CHUNK].tolist()
        engine.evaluate()
        parts.append(_flatten(engine.eval_imgs, len(thresholds), counted))
    return (*(np.concatenate(column, axis=-1) for column in zip(*parts)), counted)


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
            iou = _mask_iou(*codes, smallest)
        rows, columns = np.nonzero(iou >= smallest)
        parts.append((found[rows], wanted[columns], iou[rows, columns]))
    return Overlaps(*(np.concatenate(columns) for columns in zip(*parts)))


def _mask_iou(found: list[dict], wanted: list[dict], smallest: float) -> np.ndarray:
    """(n, m) IoU of masks; 0 where boxes and areas say that it is below the smallest asked for.

    The intersection of two masks is at most that of their boxes, their union at least the larger
    one. Most pairs of an image are far apart and need not be compared run by run.
    """
    from hotcoco import mask as engine

    boxes, others = np.asarray(engine.to_bbox(found)), np.asarray(engine.to_bbox(wanted))
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(*((b[..., :2] + b[..., 2:]) for b in (boxes[:, None], others[None])))
    shared = (high - low).clip(0).prod(-1)
    areas = np.maximum.outer(np.asarray(engine.area(found)), np.asarray(engine.area(wanted)))
    near = shared > areas * smallest * (1 - 1e-9)
    iou = np.zeros(near.shape)
    for column in np.flatnonzero(near.any(0)).tolist():
        rows = np.flatnonzero(near[:, column])
        codes = [found[row] for row in rows.tolist()]
        iou[rows, column] = engine.iou(codes, [wanted[column]], [False])[:, 0]
    return iou


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


def metric_groups(truth: GroundTruth, categories: np.ndarray | None = None) -> dict:
    """(K,) bool of the classes that AP is the mean of, and each of APr, APc, APf that has any."""
    groups = class_groups(truth, categories)
    return {'AP' if name == 'all' else f'AP{name}': classes for name, classes in groups.items()}
