"""Which masks of an annotation file can be used, before anything draws them."""

from __future__ import annotations

import numpy as np
import orjson

from .annotation_tables import AnnotationTable, as_numpy
from .segmentations import MAX_COORDINATE, rle_areas, segmentation_problem

NO_MASK, MALFORMED = 1, 2

_COORDINATES = 2**22  # looked at together
_CODES = 2**11


def mask_problems(annotations: AnnotationTable, sizes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(A,) uint8: 0, ``NO_MASK`` or ``MALFORMED``, in the order of the file.

    Args:
        annotations: A annotations.
        sizes: (I, 2) height and width of the images in pixels.
        image: (A,) number of the image of each annotation.
    """
    ring_stop = as_numpy(annotations.ring_stop)
    problems = np.where(np.diff(ring_stop, prepend=0) == 0, NO_MASK, 0).astype(np.uint8)
    problems[annotations.flat] = MALFORMED
    problems[_far_away(annotations, ring_stop)] = MALFORMED
    for start in range(0, len(annotations.others), _CODES):
        rows = annotations.others[start : start + _CODES]
        texts = [annotations.other_text.entry(start + i).tobytes() for i in range(len(rows))]
        problems[rows] = np.where(_are_codes(texts, sizes[image[rows]]), 0, MALFORMED)
    return problems


def _far_away(annotations: AnnotationTable, ring_stop: np.ndarray) -> np.ndarray:
    """Rows with a coordinate that is not finite, or farther away than any image reaches."""
    values, starts = as_numpy(annotations.rings.values), as_numpy(annotations.rings.starts)
    outside = [np.zeros(0, np.int64)]
    for first in range(0, len(values), _COORDINATES):
        part = values[first : first + _COORDINATES]
        if not (part.min() >= -MAX_COORDINATE and part.max() <= MAX_COORDINATE):  # NaN is neither
            outside.append(np.flatnonzero(~(np.abs(part) <= MAX_COORDINATE)) + first)
    ring = np.searchsorted(starts, np.concatenate(outside), side='right') - 1
    return np.searchsorted(ring_stop, ring, side='right')


def _are_codes(texts: list[bytes], sizes: np.ndarray) -> np.ndarray:
    """(N,) whether texts are run-length codes of images of these (N, 2) sizes."""
    good = np.zeros(len(texts), bool)
    rows, counts = [], []
    for row, (text, (height, width)) in enumerate(zip(texts, sizes.tolist())):
        try:
            segmentation = orjson.loads(text)
        except ValueError:  # NaN, or a character that is none
            continue
        if segmentation_problem(segmentation, height, width) is None:
            good[row] = True
            if isinstance(segmentation['counts'], str):
                rows.append(row)
                counts.append(segmentation['counts'])
    if counts:
        good[rows] = rle_areas(counts, sizes[rows].prod(1)) >= 0
    return good
