"""Run-length masks: conversion from every form LVIS files use, and a check before C code runs.

pycocotools reads a compressed mask without looking whether it is complete, so a truncated string
can make it read past its end. ``rle_areas`` decodes many strings at once in numpy and finds those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Any

import numpy as np

MAX_COORDINATE = 1e5  # pixels; pycocotools allocates memory for every pixel of an outline
_MAX_CHARS = 6  # 5 bits a character: runs of less than 2**29 pixels, more than an image has


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
    if (
        not isinstance(size, (list, tuple))
        or list(size) != [height, width]
        or any(isinstance(side, (float, bool)) for side in size)
    ):
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
        masks = list(map(itemgetter('segmentation'), records))
        counts = list(map(itemgetter('counts'), masks))
        shapes = list(map(itemgetter('size'), masks))
    except (KeyError, TypeError, IndexError):
        return None
    if set(map(type, masks)) != {dict} or not all(counts):
        return None
    types = set(map(type, counts))
    if types != {bytes} and not (types == {str} and ''.join(counts).isascii()):
        return None
    if not set(map(type, shapes)) <= {list, tuple} or set(map(len, shapes)) != {2}:
        return None
    sides = list(chain.from_iterable(shapes))
    if set(map(type, sides)) != {int}:
        return None
    return masks if (np.reshape(sides, (-1, 2)) == sizes).all() else None


_CODES = 512  # masks decoded at a time


def masks_usable(records: Sequence[Any], sizes: np.ndarray) -> bool:
    """Whether ``mask_problem`` has no complaint of the masks of records.

    Args:
        records: N records.
        sizes: (N, 2) height and width of their images in pixels.
    """
    masks = compressed_masks(records, sizes)
    if masks is None:
        return not any(
            mask_problem(record['segmentation'], height, width)
            for record, (height, width) in zip(records, sizes.tolist())
        )
    pixels = sizes.prod(1)
    for start in range(0, len(masks), _CODES):
        codes = [mask['counts'] for mask in masks[start : start + _CODES]]
        if (rle_areas(codes, pixels[start : start + _CODES]) < 0).any():
            return False
    return True


def _polygon_problem(polygons: list) -> str | None:
    if not polygons:
        return 'segmentation has no polygon'
    for polygon in polygons:
        if not isinstance(polygon, (list, tuple, np.ndarray)):
            return f'polygon is {type(polygon).__name__}; expected a list [x1, y1, x2, y2, ...]'
        if is_debris(polygon):
            return f'polygon has {len(polygon)} numbers; expected at least 3 points (6, even)'
        try:
            # a sum is cheaper than a look at each, and infinite or nan if one of them is
            finite = math.isfinite(math.fsum(polygon))
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite:
            return 'polygon has a coordinate that is not a finite number'
        largest = max(max(polygon), -min(polygon))
        if largest > MAX_COORDINATE:
            return f'polygon has the coordinate {largest:g}; expected at most {MAX_COORDINATE:g}'
    return None


def is_debris(polygon: Sequence[float]) -> bool:
    """Whether a polygon encloses nothing: fewer than 3 points, or half a point."""
    return len(polygon) < 6 or len(polygon) % 2 == 1


def mask_problem(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with a mask, compressed runs decoded; None when there is nothing."""
    problem = segmentation_problem(segmentation, height, width)
    if problem or isinstance(segmentation, list) or isinstance(segmentation['counts'], list):
        return problem
    if rle_areas([segmentation['counts']], np.array([height * width]))[0] < 0:
        return f'malformed RLE: counts are no code of {height * width} pixels, or are cut off'
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
    return to_rles([segmentation], height, width)[0]


def to_rles(segmentations: Iterable[Any], height: int, width: int) -> list[dict]:
    """``to_rle`` of many masks of one size, their polygons in one call."""
    from pycocotools import mask as mask_utils

    masks = list(segmentations)
    polygons = [
        polygon if type(polygon) is list else list(polygon)
        for mask in masks
        if isinstance(mask, list)
        for polygon in mask
    ]
    filled = iter(mask_utils.frPyObjects(polygons, height, width) if polygons else ())
    for number, mask in enumerate(masks):
        if isinstance(mask, list):
            parts = list(islice(filled, len(mask)))
            masks[number] = parts[0] if len(parts) == 1 else mask_utils.merge(parts)
        elif isinstance(mask['counts'], list):
            masks[number] = mask_utils.frPyObjects(mask, height, width)
    return masks


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
    if not counts:
        return np.zeros(0, dtype=np.int64)
    ends = np.cumsum(list(map(len, counts)))
    digits = np.frombuffer(_joined(counts), dtype=np.uint8) - np.uint8(48)
    bad = digits[ends - 1] & 32 != 0
    if digits.max() > 63:
        bad[np.searchsorted(ends, np.flatnonzero(digits > 63), side='right')] = True
    digits[ends - 1] &= 31  # no number goes on in the next mask

    # Numbers are read from their last character, which has the sign, to the first.
    goes_on = digits & 32 != 0
    last = np.flatnonzero(~goes_on)
    first = np.concatenate([[0], np.searchsorted(last, ends[:-1])])
    digits &= 31
    values = (digits[last] ^ np.uint8(16)).astype(np.int32) - np.int32(16)
    longer = np.flatnonzero(np.diff(last, prepend=-1) > 1)
    last = last[longer]
    for place in range(1, _MAX_CHARS + 1):
        if place == _MAX_CHARS:
            bad[np.searchsorted(first, longer, side='right') - 1] = True
            break
        values[longer] = (values[longer] << 5) + digits[last - place]
        more = np.flatnonzero((last > place) & goes_on[last - place - 1])
        longer, last = longer[more], last[more]

    # From the second on, a run is the sum of every second number up to its own.
    background = values[first].astype(np.int64)
    bad |= background < 0
    values[first] = 0
    areas = np.zeros(len(counts), dtype=np.int64)
    for offset in (0, 1):
        part = np.append(values[offset::2], np.int32(0))
        begin = first + (1 - offset) >> 1
        empty = np.diff(begin, append=len(part) - 1) == 0
        # What a mask adds up to is taken off where the next one begins.
        total = np.add.reduceat(part, begin)
        total[empty] = 0
        np.subtract.at(part, begin[1:], total[:-1])
        np.cumsum(part, out=part)
        part[-1] = 0
        if part.min() < 0:
            bad |= (np.minimum.reduceat(part, begin) < 0) & ~empty
        total = np.add.reduceat(part, begin, dtype=np.int64)
        total[empty] = 0
        is_object = first & 1 != offset
        areas += np.where(is_object, total, 0)
        background += np.where(is_object, 0, total)
    areas[bad | (areas + background != pixels)] = -1
    return areas


def _joined(counts: Sequence[bytes | str]) -> bytes:
    types = set(map(type, counts))
    if types == {str}:
        return ''.join(counts).encode('ascii')
    if types == {bytes}:
        return b''.join(counts)
    return b''.join(c.encode('ascii') if isinstance(c, str) else c for c in counts)
