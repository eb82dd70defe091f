"""What the checkpoints of MMEngine hold besides tensors, as types that may be read as data.

``torch.load`` reads as data by default since torch 2.6, and MMEngine 0.10.7 and older then fail on
their own files: these hold the history of the log, and NumPy's numbers in it. What hooks of users
put beside it (``MessageHub.update_info``), and ``metainfo`` of configs, are values of Python.
"""

from __future__ import annotations

import datetime
import pathlib
from codecs import encode
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging.history_buffer import HistoryBuffer

# plain numbers and text; objects would be read by running what they say
KINDS = (
    'bool',
    *(f'{sign}int{bits}' for sign in ('', 'u') for bits in (8, 16, 32, 64)),
    *('float16', 'float32', 'float64', 'complex64', 'complex128', 'str', 'bytes'),
)
# they hold data alone, and what makes them does nothing else
VALUES = (
    *(bool, int, float, str, list, tuple, dict, set, frozenset, range, slice),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
    ConfigDict,
)


def allow_types_of_mmengine() -> None:
    """Have ``torch.load`` take these types in every file that it reads as data."""
    torch.serialization.add_safe_globals(_TYPES)


def with_defaults(value: Any) -> Any:
    """``value`` as it was saved, where it was read as data: each ``defaultdict`` is one again."""
    return _restored(value, {})


def _restored(value: Any, known: dict[int, Any]) -> Any:
    """Dicts and lists are changed in place; ``known``: those that were seen, by ``id``."""
    kind = type(value)
    if kind not in (dict, OrderedDict, list, tuple):
        return value
    if id(value) in known:
        return known[id(value)]
    if kind is tuple:
        return tuple(_restored(item, known) for item in value)
    factory = getattr(value, 'default_factory', _NONE)
    known[id(value)] = made = value if factory is _NONE else defaultdict(factory)
    for key, item in [*(enumerate(value) if kind is list else value.items())]:
        made[key] = _restored(item, known)
    return made


_NONE = object()


def _default_dict(factory: Callable | None = None) -> OrderedDict:
    """What ``with_defaults`` makes a ``defaultdict`` of: torch fills no other dicts."""
    unfilled = OrderedDict()
    unfilled.default_factory = factory
    return unfilled


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
        *VALUES,
        _under('collections.defaultdict', _default_dict),
        *(
            _under(f'{module}.{kind.__name__}', kind)
            for module in ('pathlib', 'pathlib._local')  # the latter by Python 3.13
            for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath, type(pathlib.Path()))
        ),
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
