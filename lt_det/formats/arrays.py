"""Arrays in an .npz, of the kinds and shapes that are expected of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import BadInputError, MissingFileError

_WORDS = {'i': 'whole numbers', 'f': 'numbers', 'U': 'texts', 'u': 'bytes', 'S': 'bytes'}
# of what numpy calls kinds: what else is the same
_KINDS = {'i': 'iu', 'f': 'fiu', 'U': 'U', 'u': 'u', 'S': 'S'}
_BYTE = np.dtype(np.uint8)


def read_arrays(
    path: str | os.PathLike, expected: Mapping[str, tuple[str, tuple]], what: str
) -> dict[str, np.ndarray]:
    """The arrays of a file, whole and plain; nothing in it is run or unpacked.

    Args:
        path: The file.
        expected: For each name the kind, 'i' whole numbers, 'f' finite numbers, 'U' texts, 'S'
            texts of bytes or 'u' bytes, and the shape: numbers, or letters that stand for the same
            number in all arrays. A name that ends in '?' may be missing. Other names are left out.
        what: The kind of file, for messages.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: It is none, or an array is missing or another one.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path} does not exist')
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in expected:
                name = name.removesuffix('?')
                if name in file:
                    arrays[name] = file[name]
    except (Exception, MemoryError) as error:  # bytes that are none raise what they happen to
        raise BadInputError(f'{path} cannot be read ({error!r}); expected {what}') from error
    sizes: dict[str, tuple[int, str]] = {}
    for name, (kind, shape) in expected.items():
        if name.removesuffix('?') in arrays:
            name = name.removesuffix('?')
            problem = _problem(arrays[name], kind, shape, sizes, name)
        else:
            problem = None if name.endswith('?') else 'is missing'
        if problem:
            raise BadInputError(f'{path}: {name} {problem}; expected {what}')
    return arrays


def _problem(
    array: np.ndarray, kind: str, shape: tuple, sizes: dict[str, tuple[int, str]], name: str
) -> str | None:
    if array.dtype.kind not in _KINDS[kind] or (kind == 'u' and array.dtype != _BYTE):
        return f'is of type {array.dtype}, expected {_WORDS[kind]}'
    if array.ndim != len(shape):
        return f'has the shape {array.shape}, expected {len(shape)} dimensions'
    for length, wanted in zip(array.shape, shape):
        if isinstance(wanted, str):
            wanted, other = sizes.setdefault(wanted, (length, name))
            if length != wanted:
                return f'has {length} entries, {other} has {wanted}'
        elif length != wanted:
            return f'has the shape {array.shape}, expected {wanted} in place of {length}'
    if kind == 'f' and not np.isfinite(array).all():
        return 'has a number that is not finite'
    if array.dtype.kind == 'u' and kind == 'i' and array.size and array.max() >= 2**63:
        return f'has the number {array.max()}'
    return None
