"""Run-length masks: conversion from every form LVIS files use, and a check before C code runs.

pycocotools reads a compressed mask without looking whether it is complete, so a truncated string
can make it read past its end. ``rle_areas`` decodes many strings at once in numpy and finds those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

_MAX_CHARS = 7  # 5 bits a character; more would not fit the 32 bits of a run


def segmentation_problem(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with the form of a mask, without decoding compressed runs.

    Args:
        segmentation: Polygons, uncompressed or compressed run lengths.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        The complaint, or None when there is none.
    """
    if isinstance(segmentation, list):
        return _polygon_problem(segmentation)
    if not isinstance(segmentation, dict) or not {'size', 'counts'} <= segmentation.keys():
        return "segmentation is neither polygons nor a dict with 'size' and 'counts'"
    size = segmentation['size']
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        return f'RLE size is {size}; expected [height, width] of the image, {[height, width]}'
    counts = segmentation['counts']
    if isinstance(counts, list):
        if not all(isinstance(run, (int, np.integer)) and run >= 0 for run in counts):
            return 'malformed RLE: runs must be integers of at least 0'
        if sum(counts) != height * width:
            return f'malformed RLE: runs cover {sum(counts)} of {height * width} pixels'
    elif not isinstance(counts, (str, bytes)) or not counts:
        return 'malformed RLE: counts must be a list of runs or a non-empty string'
    elif isinstance(counts, str) and not counts.isascii():
        return 'malformed RLE: counts has characters outside of ASCII'
    return None


def compressed_masks(records: Sequence[Any], sizes: np.ndarray) -> list[dict] | None:
    """The masks of records, if all are compressed run lengths of the right form.

    Args:
        records: N records.
        sizes: (N, 2) height and width of their images in pixels.

    Returns:
        Their segmentations, for which ``segmentation_problem`` has no complaint; None otherwise.
    """
    try:
        masks = [record['segmentation'] for record in records]
        counts = [mask['counts'] for mask in masks]
        found = [side for mask in masks for side in mask['size']]
    except (KeyError, TypeError, IndexError):
        return None
    if {type(mask) for mask in masks} != {dict} or not all(counts):
        return None
    if {type(each) for each in counts} != {bytes} and not (
        {type(each) for each in counts} == {str} and all(map(str.isascii, counts))
    ):
        return None
    if {type(side) for side in found} != {int} or {len(mask['size']) for mask in masks} != {2}:
        return None
    return masks if (np.reshape(found, (-1, 2)) == sizes).all() else None


def _polygon_problem(polygons: list) -> str | None:
    if not polygons:
        return 'segmentation has no polygon'
    for polygon in polygons:
        if not isinstance(polygon, (list, tuple, np.ndarray)):
            return f'polygon is {type(polygon).__name__}; expected a list [x1, y1, x2, y2, ...]'
        if len(polygon) < 6 or len(polygon) % 2:
            return f'polygon has {len(polygon)} numbers; expected at least 3 points (6, even)'
        try:
            finite = np.isfinite(np.asarray(polygon, dtype=np.float64)).all()
        except (TypeError, ValueError):
            finite = False
        if not finite:
            return 'polygon has a coordinate that is not a finite number'
    return None


def to_rle(segmentation: Any, height: int, width: int) -> dict:
    """Compressed RLE of a mask in any form, as lvis-api converts it.

    Args:
        segmentation: Polygons, uncompressed or compressed run lengths, already checked.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        A dict with 'size' and 'counts' (bytes).
    """
    if isinstance(segmentation, list):
        polygons = [list(polygon) for polygon in segmentation]
        return mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))
    if isinstance(segmentation['counts'], list):
        return mask_utils.frPyObjects(segmentation, height, width)
    return segmentation


def box_polygon(box: Sequence[float]) -> list[list[float]]:
    """The polygon lvis-api takes for a detection that has a box (x, y, w, h) and no mask."""
    x1, y1, w, h = (float(value) for value in box)
    x2, y2 = x1 + w, y1 + h
    return [[x1, y1, x1, y2, x2, y2, x2, y1]]


def rle_areas(counts: Sequence[bytes | str], pixels: np.ndarray) -> np.ndarray:
    """Areas of many compressed masks, and which of the strings are malformed.

    A character holds 5 bits of a number, the lowest first, and a flag that the number goes on; from
    the fourth on, a run is stored as its difference to the run two before it.

    Args:
        counts: N compressed, non-empty run-length strings.
        pixels: (N,) height times width of each mask.

    Returns:
        (N,) int64 areas in pixels; -1 where the string is incomplete, has a foreign character or
        does not cover its image.
    """
    encoded = [c.encode('ascii') if isinstance(c, str) else c for c in counts]
    if not encoded:
        return np.zeros(0, dtype=np.int64)
    ends = np.cumsum([len(c) for c in encoded])
    digits = np.frombuffer(b''.join(encoded), dtype=np.uint8) - np.uint8(48)
    bad = np.zeros(len(encoded), dtype=bool)
    bad[np.searchsorted(ends, np.flatnonzero(digits > 63), side='right')] = True
    bad |= digits[ends - 1] & 32 != 0
    digits[ends - 1] &= 31  # no number goes on in the next mask

    number_ends = np.flatnonzero(digits & 32 == 0)
    lengths = np.diff(number_ends, prepend=-1)
    first = np.concatenate([[0], np.searchsorted(number_ends, ends[:-1])])
    too_long = np.flatnonzero(lengths > _MAX_CHARS)
    bad[np.searchsorted(first, too_long, side='right') - 1] = True
    # from the last character, which has the sign, to the first
    digits &= 31
    values = (digits[number_ends] ^ np.uint8(16)).astype(np.int64) - 16
    for place in range(1, min(int(lengths.max()), _MAX_CHARS)):
        longer = np.flatnonzero(lengths > place)
        values[longer] = (values[longer] << 5) + digits[number_ends[longer] - place]

    # Sums over every second number undo the differences; what came before a mask is taken off.
    sums = np.zeros(len(values) + 2, dtype=np.int64)
    np.cumsum(values[0::2], out=sums[2::2])
    np.cumsum(values[1::2], out=sums[3::2])
    sizes = np.diff(first, append=len(values))
    odd = (np.arange(len(values)) - np.repeat(first, sizes)) & 1 == 1
    runs = sums[2:] - np.where(odd, *(np.repeat(sums[first + i], sizes) for i in (1, 2)))
    runs[first] = values[first]
    bad |= np.minimum.reduceat(runs, first) < 0
    bad |= np.add.reduceat(runs, first) != pixels
    areas = np.add.reduceat(runs * odd, first)
    areas[bad] = -1
    return areas
