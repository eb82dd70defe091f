"""What is dropped, computed or assumed when an annotation file is read, counted by reason."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import DataWarning
from .annotation_records import first_of
from .annotation_tables import AnnotationTable, ImageTable

_AREA, _IGNORE, _INSIDE_OUT, _SMALL, _OUTSIDE = range(1, 6)
_UNUSABLE = {
    _IGNORE: ('ignore', "with 'ignore' set"),
    _INSIDE_OUT: ('box_negative', 'with a negative width or height'),
    _SMALL: ('box_small', 'with a width or height below 1 pixel'),
    _OUTSIDE: ('box_outside', 'with a box outside of their image'),
}
_MANY = 10  # boxes, of which half reach beyond their image
_FIRST = 5


class Remark(NamedTuple):
    """Something that holds for some images, annotations or classes of a file.

    Args:
        kind: Its name, the same in every file.
        count: Of how many it holds.
        first: The first of their ids (of classes: names), in ascending order.
        text: All of that in a line.
    """

    kind: str
    count: int
    first: list
    text: str


def unusable_reason(
    boxes: np.ndarray, areas: np.ndarray, ignore: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """(A,) uint8, why MMDetection would not train on a box; 0 where it would.

    Args:
        boxes: (A, 4) x, y, width, height in pixels.
        areas: (A,) square pixels.
        ignore: (A,) bool.
        sizes: (A, 2) height and width of the image in pixels.
    """
    x, y, w, h = boxes.T
    inside_w = np.minimum(x + w, sizes[:, 1]) - np.maximum(x, 0)
    inside_h = np.minimum(y + h, sizes[:, 0]) - np.maximum(y, 0)
    reason = np.zeros(len(boxes), np.uint8)
    reason[~((inside_w > 0) & (inside_h > 0))] = _OUTSIDE
    reason[(w < 1) | (h < 1)] = _SMALL
    reason[(w < 0) | (h < 0)] = _INSIDE_OUT
    reason[ignore] = _IGNORE
    reason[~((areas > 0) & (areas < np.inf))] = _AREA
    return reason


def say(source: str, text: str) -> None:
    """Warn, always from this line of code, so that Python shows a text once in a process."""
    warnings.warn(f'{source}: {text}', DataWarning, stacklevel=1)


def remark(kind: str, ids: Sequence[int] | np.ndarray, noun: str, what: str) -> list[Remark]:
    """One remark on some images or annotations, or none where there are no ids."""
    if not len(ids):
        return []
    ids = np.sort(ids)
    text = f'{noun} {what}: {len(ids)} ({first_of(ids)})'
    return [Remark(kind, len(ids), ids[:_FIRST].tolist(), text)]


def file_remarks(
    images: ImageTable,
    annotations: AnnotationTable,
    unknown: dict[str, np.ndarray],
    arrays: dict[str, np.ndarray],
) -> list[Remark]:
    """What holds for training and evaluation alike.

    Args:
        images, annotations: The lists of the file.
        unknown: For each federated list, the image of every id in it that is no category.
        arrays: Those of ``AnnotationColumns``.
    """
    remarks = []
    for name, without in images.absent.items():
        if images.has_list[name]:
            what = f'without {name}, or with null there, taken for an empty list'
            remarks += remark(f'no_{name}', without, 'images', what)
    for name, owners in unknown.items():
        what = f'with ids in {name} that are no category, left out'
        remarks += remark(f'unknown_{name}', np.unique(owners), 'images', what)
    ids = np.frombuffer(annotations.ids, np.int64)
    what = 'without an area, for which width * height of the box is taken'
    remarks += remark('area_missing', ids[annotations.no_area], 'annotations', what)
    what = 'with polygons of less than 3 points or of half a point beside others, left out'
    remarks += remark('mask_debris', ids[annotations.debris], 'annotations', what)
    areas = arrays['area']
    unsized = ~((areas > 0) & (areas < np.inf))
    what = "with an area that is not positive and finite, not trained on nor scored by LVIS's rules"
    remarks += remark('area', arrays['annotation_id'][unsized], 'annotations', what)
    return remarks + _corners(arrays)


def training_remarks(
    arrays: dict[str, np.ndarray], reason: np.ndarray, categories: list[dict]
) -> list[Remark]:
    """What training leaves out though the evaluation does not."""
    ids, crowd = arrays['annotation_id'], arrays['crowd']
    remarks = []
    for number, (kind, words) in _UNUSABLE.items():
        what = f'{words}, not trained on and not counted'
        remarks += remark(kind, ids[reason == number], 'annotations', what)
    what = "with 'iscrowd' set, ignored in training and not counted"
    remarks += remark('crowd', ids[crowd & (reason == 0)], 'annotations', what)
    annotated = np.bincount(arrays['category'], minlength=len(categories))
    lost = np.flatnonzero((annotated > 0) & (arrays['instance_count'] == 0))
    if len(lost):
        names = [categories[number]['name'] for number in lost]
        text = (
            f'classes with annotations, but none to train on: {len(lost)} ({first_of(names, 20)})'
        )
        remarks.append(Remark('class_lost', len(lost), names[:_FIRST], text))
    return remarks


def _corners(arrays: dict[str, np.ndarray]) -> list[Remark]:
    """A hint if most boxes reach beyond their image by more than rounding."""
    per_image = np.diff(arrays['annotation_start'])
    sizes = np.repeat(arrays['image_size'], per_image, axis=0)
    boxes = arrays['bbox']
    beyond = (boxes[:, 0] + boxes[:, 2] > sizes[:, 1] + 1) | (
        boxes[:, 1] + boxes[:, 3] > sizes[:, 0] + 1
    )
    if beyond.sum() < max(_MANY, len(boxes) / 2):
        return []
    ids = arrays['annotation_id'][beyond]
    text = (
        f'{len(ids)} of {len(boxes)} boxes reach beyond their image; bbox is x, y, width, height: '
        'were corners x1, y1, x2, y2 written instead, or sizes of other images? '
        f'Annotations {first_of(ids)}'
    )
    return [Remark('corners', len(ids), ids[:_FIRST].tolist(), text)]
