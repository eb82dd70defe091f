"""What comes out of reading a file, and what should."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

from lt_det.errors import UserError

from ..documented import ANY, REFUSED, RefusedError

LONGEST = 1000  # characters of a message


class Subject(NamedTuple):
    """A kind of file.

    Args:
        broken: Strategy of ``Broken`` content.
        check: Reads content in a folder; raises AssertionError on any wrong outcome.
    """

    broken: st.SearchStrategy
    check: Callable[[Path, bytes], None]


def outcome(read: Callable, *arguments: Any) -> Any:
    """What reading gives, ``REFUSED`` where that is an error for a user in one line."""
    try:
        return read(*arguments)
    except UserError as error:
        message = str(error)
        assert '\n' not in message and '\r' not in message, f'more than a line: {message!r:.300}'
        assert 10 < len(message) < LONGEST, f'{len(message)} characters: {message:.300}'
        return REFUSED


def expected(read: Callable, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except RefusedError:
        return REFUSED


def same(found: Any, wanted: Any) -> bool:
    """Equality of nested values; NaN equals NaN, and an integer the float of its value."""
    if isinstance(wanted, torch.Tensor):
        return isinstance(found, torch.Tensor) and same(found.numpy(), wanted.numpy())
    if isinstance(wanted, np.ndarray):
        if not isinstance(found, np.ndarray) or found.shape != wanted.shape:
            return False
        if wanted.dtype.kind == 'f':
            return np.array_equal(found, wanted, equal_nan=True)
        return np.array_equal(found, wanted)
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and found.keys() == wanted.keys()
            and all(same(found[key], wanted[key]) for key in wanted)
        )
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(found, (list, tuple))
            and len(found) == len(wanted)
            and all(map(same, found, wanted))
        )
    if isinstance(wanted, float) and isinstance(found, float) and math.isnan(wanted):
        return math.isnan(found)
    return type(found) is not np.ndarray and found == wanted


def agree(found: Any, wanted: Any, what: str) -> None:
    if isinstance(wanted, str) and wanted == ANY:
        return
    assert same(found, wanted), f'{what}: {found!r:.300}; expected {wanted!r:.300}'
