"""Many compressed masks in one piece of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from ..forks import map_parts
from .segmentations import rle_areas

_BLOCK = 1000  # masks decoded together, in the fast memory of a processor
_MANY_BLOCKS = 20  # which take longer than a fork


class CodedMasks(Sequence):
    """Masks as compressed run lengths, which become dicts when they are asked for.

    Half a million dicts take a multiple of the memory of their codes, and the garbage collector
    goes through them again and again.

    Args:
        codes: (B,) uint8, the strings one after the other.
        lengths: (N,) int64 of each string, at least 1.
        sizes: (N, 2) int64 height and width in pixels.

    Attributes:
        areas: (N,) int64 pixels, -1 where the string is no code of such a mask.
    """

    def __init__(self, codes: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> None:
        ends = np.cumsum(lengths)
        self._codes, self._sizes = codes.tobytes(), sizes
        self._ranges = np.stack([ends - lengths, ends], axis=1)
        pixels = sizes.prod(1)

        def areas_of(starts: range) -> list[np.ndarray]:
            areas = [np.zeros(0, np.int64)]
            for start in starts:
                rows = slice(start, start + _BLOCK)
                counts = [self._codes[i:j] for i, j in self._ranges[rows].tolist()]
                areas.append(rle_areas(counts, pixels[rows]))
            return areas

        starts = range(0, len(ends), _BLOCK)
        parts = map_parts(areas_of, starts, len(starts) >= _MANY_BLOCKS)
        self.areas = np.concatenate([*chain(*parts)])

    def __len__(self) -> int:
        return len(self._ranges)

    def __getitem__(self, number: int) -> dict:
        start, end = self._ranges[number].tolist()
        return {'size': self._sizes[number].tolist(), 'counts': self._codes[start:end]}

    def __iter__(self) -> Iterator[dict]:
        codes = self._codes
        for size, (start, end) in zip(self._sizes.tolist(), self._ranges.tolist()):
            yield {'size': size, 'counts': codes[start:end]}

    def take(self, rows: np.ndarray) -> CodedMasks:
        """The masks with the given numbers, (M,) int64; codes are not copied."""
        taken = CodedMasks.__new__(CodedMasks)
        taken._codes, taken._sizes = self._codes, self._sizes[rows]
        taken._ranges, taken.areas = self._ranges[rows], self.areas[rows]
        return taken


def take_masks(masks: Sequence, rows: np.ndarray) -> list | CodedMasks:
    """The masks with the given numbers, (M,) int64, as what they are kept in."""
    if isinstance(masks, CodedMasks):
        return masks.take(rows)
    return [masks[row] for row in rows.tolist()]
