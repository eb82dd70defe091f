"""List files of image classification: a line "relative/path label" per image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import BadInputError
from .files import check_is_file
from .text_file import read_utf8

EXPECTED = 'expected "relative/path label"'
MOST_CLASSES = 2**24  # beyond, counts of classes would fill the memory


def read_list_file(
    path: str | Path, num_classes: int | None = None
) -> tuple[list[bytes], np.ndarray]:
    """Read a list file, blank lines left out.

    The format of the public lists of ImageNet-LT, Places-LT and iNaturalist 2018. A path may
    contain spaces: the label is the last word of a line.

    Args:
        path: The file.
        num_classes: C; a label that is C or more is an error. 2^24 by default.

    Returns:
        N lines as bytes, and their labels (N,) in int64.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is empty, or a line has no path, no label, or a label out of range; names
            the file and the line.
    """
    path = Path(path)
    check_is_file(path, 'list file')
    lines = [line for line in read_utf8(path).splitlines() if line.strip()]
    try:
        labels = np.array([_label(line.rsplit(None, 1)) for line in lines], np.int64)
    except (ValueError, IndexError, OverflowError):
        raise _first_bad_line(path) from None
    if not len(labels):
        raise BadInputError(f'{path} is empty, expected lines "relative/path label"')
    num_classes = MOST_CLASSES if num_classes is None else num_classes
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        label = labels[int(outside.argmax())]
        where = f'{path}:{line_number(path, int(outside.argmax()))}'
        if label < 0:
            raise BadInputError(f'{where} has the negative label {label}')
        raise BadInputError(f'{where} has label {label}, expected 0..{num_classes - 1}')
    return lines, labels


def line_number(path: str | Path, index: int) -> int:
    """Number, from 1, of the line that holds item ``index`` (from 0)."""
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        index -= bool(line.strip())
        if index < 0:
            return number
    raise IndexError(f'{path} has fewer items')


def _label(words: list[bytes]) -> int:
    """The last of two words as a number; ``int`` alone would take 1_0 for 10."""
    if b'_' in words[1]:
        raise ValueError
    return int(words[1])


def _first_bad_line(path: Path) -> BadInputError:
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        words = line.rsplit(None, 1)
        try:
            if words:
                np.int64(_label(words))
        except (ValueError, IndexError, OverflowError):
            return BadInputError(
                f'{path}:{number} is "{line.decode(errors="replace"):.200}", {EXPECTED}'
            )
    raise AssertionError('no bad line')
