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
    lengths = np.array([len(c) for c in encoded])
    digits = np.frombuffer(b''.join(encoded), dtype=np.uint8).astype(np.int16) - 48
    mask_of_digit = np.repeat(np.arange(len(encoded)), lengths)
    bad = np.zeros(len(encoded), dtype=bool)
    bad[mask_of_digit[(digits < 0) | (digits > 63)]] = True
    bad |= digits[np.cumsum(lengths) - 1] & 32 != 0  # the last number goes on after the end

    last = digits & 32 == 0
    last[np.cumsum(lengths) - 1] = True
    number_end = np.flatnonzero(last)
    number_start = np.concatenate([[0], number_end[:-1] + 1])
    mask_of_number = mask_of_digit[number_end]
    num_digits = number_end - number_start + 1
    bad[mask_of_number[num_digits > _MAX_CHARS]] = True
    place = np.minimum(np.arange(len(digits)) - np.repeat(number_start, num_digits), _MAX_CHARS)
    values = np.add.reduceat((digits & 31).astype(np.int64) << (5 * place), number_start)
    negative = digits[number_end] & 16 != 0
    values -= negative.astype(np.int64) << (5 * np.minimum(num_digits, _MAX_CHARS))

    runs_per_mask = np.bincount(mask_of_number, minlength=len(encoded))
    first = np.cumsum(runs_per_mask) - runs_per_mask
    index = np.arange(len(values)) - first[mask_of_number]
    # From the fourth on, a run is stored as its difference to the run two before it.
    background = values.copy()
    areas = np.zeros(len(encoded), dtype=np.int64)
    totals = np.zeros(len(encoded), dtype=np.int64)
    for parity in (0, 1):
        chosen = np.flatnonzero((index % 2 == parity) & (index > 0))
        owner = mask_of_number[chosen]
        summed = np.cumsum(background[chosen])
        per_mask = np.bincount(owner, minlength=len(encoded))
        before = np.concatenate([[0], summed])[np.cumsum(per_mask) - per_mask]
        runs = summed - before[owner]
        bad[owner[runs < 0]] = True
        sums = np.concatenate([[0], np.cumsum(runs)])
        ends = np.cumsum(per_mask)
        part = sums[ends] - sums[ends - per_mask]
        totals += part
        if parity:
            areas = part
    totals += values[first]
    bad |= (values[first] < 0) | (totals != pixels)
    areas[bad] = -1
    return areas
