"""What is dropped, computed or assumed when an annotation file is read, counted by reason."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ..errors import DataWarning
from .annotation_records import first_of
from .annotation_tables import AnnotationTable, ImageTable

_AREA, _IGNORE, _INSIDE_OUT, _SMALL, _OUTSIDE = range(1, 6)
_UNUSABLE = {
    _IGNORE: "with 'ignore' set",
    _INSIDE_OUT: 'with a negative width or height',
    _SMALL: 'with a width or height below 1 pixel',
    _OUTSIDE: 'with a box outside of their image',
}
_MANY = 10  # boxes, of which half reach beyond their image


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


def remark(ids: Sequence[int] | np.ndarray, noun: str, what: str) -> list[str]:
    """One line on some images or annotations with their number and first ids, or none."""
    if not len(ids):
        return []
    return [f'{noun} {what}: {len(ids)} ({first_of(np.sort(ids))})']


def file_remarks(
    images: ImageTable,
    annotations: AnnotationTable,
    unknown: dict[str, np.ndarray],
    arrays: dict[str, np.ndarray],
) -> list[str]:
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
            remarks += remark(without, 'images', what)
    for name, owners in unknown.items():
        what = f'with ids in {name} that are no category, left out'
        remarks += remark(np.unique(owners), 'images', what)
    ids = np.frombuffer(annotations.ids, np.int64)
    what = 'without an area, for which width * height of the box is taken'
    remarks += remark(ids[annotations.no_area], 'annotations', what)
    what = 'with polygons of less than 3 points or of half a point beside others, left out'
    remarks += remark(ids[annotations.debris], 'annotations', what)
    areas = arrays['area']
    unsized = ~((areas > 0) & (areas < np.inf))
    what = "with an area that is not positive and finite, not trained on nor scored by LVIS's rules"
    remarks += remark(arrays['annotation_id'][unsized], 'annotations', what)
    return remarks + _corners(arrays)


def training_remarks(
    arrays: dict[str, np.ndarray], reason: np.ndarray, categories: list[dict]
) -> list[str]:
    """What training leaves out though the evaluation does not."""
    ids, crowd = arrays['annotation_id'], arrays['crowd']
    remarks = []
    for number, words in _UNUSABLE.items():
        what = f'{words}, not trained on and not counted'
        remarks += remark(ids[reason == number], 'annotations', what)
    what = "with 'iscrowd' set, ignored in training and not counted"
    remarks += remark(ids[crowd & (reason == 0)], 'annotations', what)
    annotated = np.bincount(arrays['category'], minlength=len(categories))
    lost = np.flatnonzero((annotated > 0) & (arrays['instance_count'] == 0))
    if len(lost):
        names = [category['name'] for category in categories]
        remarks.append(
            f'classes with annotations, but none to train on: {len(lost)} '
            f'({first_of([names[number] for number in lost], 20)})'
        )
    return remarks


def _corners(arrays: dict[str, np.ndarray]) -> list[str]:
    """A hint if most boxes reach beyond their image by more than rounding."""
    per_image = np.diff(arrays['annotation_start'])
    sizes = np.repeat(arrays['image_size'], per_image, axis=0)
    boxes = arrays['bbox']
    beyond = (boxes[:, 0] + boxes[:, 2] > sizes[:, 1] + 1) | (
        boxes[:, 1] + boxes[:, 3] > sizes[:, 0] + 1
    )
    if beyond.sum() < max(_MANY, len(boxes) / 2):
        return []
    return [
        f'{beyond.sum()} of {len(boxes)} boxes reach beyond their image; bbox is x, y, width, '
        'height: were corners x1, y1, x2, y2 written instead, or sizes of other images? '
        f'Annotations {first_of(arrays["annotation_id"][beyond])}'
    ]
