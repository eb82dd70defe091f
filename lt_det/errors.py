"""Errors in what a user gave us: one message that names the key or file, the value, and the remedy.

The command line tools print these without a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BREAKS = re.compile(r'\s*[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+\s*')
_START, _END = 700, 250  # characters of a longer message that are shown


class UserError(Exception):
    """Base of every error whose cause is a config, a file or an argument.

    The message is one line, and of a value that fills pages it has the beginning and the end.
    """

    def __str__(self) -> str:
        text = _BREAKS.sub(' ', super().__str__())
        if len(text) <= _START + _END:
            return text
        return f'{text[:_START]} ... {text[-_END:]}'


class BadInputError(UserError, ValueError):
    """A value that cannot be used."""


def listed(values: Sequence[object], most: int = 5) -> str:
    """The first values in quotes, with commas between them, for a message."""
    return ', '.join(map(repr, values[:most])) + (', ...' if len(values) > most else '')


class MissingFileError(UserError, FileNotFoundError):
    """A file that should be there and is not."""


class MissingStatisticsError(UserError, RuntimeError):
    """A part that needs class statistics, and has got none."""


class MissingPackageError(UserError, ModuleNotFoundError):
    """A package that is not installed, and that what was asked for needs."""


class DataWarning(UserWarning):
    """What was dropped, computed or assumed when data was read."""
