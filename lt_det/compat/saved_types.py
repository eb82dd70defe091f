"""What the checkpoints of MMEngine hold besides tensors, as types that may be read as data.

``torch.load`` reads as data by default since torch 2.6, and MMEngine 0.10.7 and older then fail on
their own files: these hold the history of the log, and NumPy's numbers in it.
"""

from __future__ import annotations

from codecs import encode
from collections.abc import Callable
from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

# plain numbers and text; objects would be read by running what they say
KINDS = (
    'bool',
    *(f'{sign}int{bits}' for sign in ('', 'u') for bits in (8, 16, 32, 64)),
    *('float16', 'float32', 'float64', 'complex64', 'complex128', 'str', 'bytes'),
)


def allow_types_of_mmengine() -> None:
    """Have ``torch.load`` take these types in every file that it reads as data."""
    torch.serialization.add_safe_globals(_TYPES)


def _history_attribute(owner, name: str):
    """``getattr`` for the one use that MMEngine's files make of it: methods of HistoryBuffer."""
    if owner is HistoryBuffer or isinstance(owner, HistoryBuffer):
        return getattr(owner, name)
    raise UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed')


def _under(path: str, function: Callable) -> Callable:
    """``function`` under the name that it has in a file; torch 2.4 takes no name beside it."""

    def named(*args):
        return function(*args)

    named.__module__, _, named.__name__ = path.rpartition('.')
    named.__qualname__ = named.__name__
    return named


def _types() -> list:
    core = np._core if hasattr(np, '_core') else np.core
    numpy_functions = (core.multiarray._reconstruct, core.multiarray.scalar)
    return [
        HistoryBuffer,
        _under('builtins.getattr', _history_attribute),
        encode,  # the bytes of arrays; torch knows it since 2.5
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in KINDS),
        # as NumPy 1 and NumPy 2 have written them
        *(
            _under(f'numpy.{package}.multiarray.{function.__name__}', function)
            for package in ('core', '_core')
            for function in numpy_functions
        ),
    ]


_TYPES = _types()  # once: the list is a set of functions
