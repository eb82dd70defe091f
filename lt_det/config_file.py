"""Reading a config, which is code and may raise anything."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BadInputError, UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def read_config(file: str | os.PathLike) -> Config:
    """A config of MMEngine.

    Raises:
        BadInputError: It cannot be read; with the error, its line, and its file where it is not
            ``file``.
    """
    from mmengine.config import Config

    try:
        return Config.fromfile(file)
    except UserError:
        raise
    except Exception as error:
        raise BadInputError(
            f'config {file} cannot be read: {type(error).__name__}{_place(error)}: {error}'
        ) from error


def _place(error: Exception) -> str:
    """The line of a config, or of a file that it imports, which has raised an error."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.name == '<module>']
    if not frames:
        return ''
    file, line = frames[-1].filename, frames[-1].lineno
    return f' in line {line}' + (f' of {file}' if Path(file).is_file() else '')
