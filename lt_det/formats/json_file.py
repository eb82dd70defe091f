"""A json as a whole, in any encoding of Unicode, and one error where it is none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import BadInputError, MissingFileError
from .files import looks_like_checkpoint


def read_json(path: str | os.PathLike, missing: str = '{path} does not exist') -> Any:
    """The content of a json in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Args:
        path: The file.
        missing: The message where there is none; ``{path}`` stands for it.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: It is no json.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise MissingFileError(missing.format(path=path)) from None
    except IsADirectoryError:
        raise MissingFileError(f'{path} is a folder, expected a json file') from None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ValueError) and looks_like_checkpoint(path):
            raise BadInputError(f'{path} looks like a checkpoint, expected a json file') from None
        raise BadInputError(f'{path}: not a json file: {error}') from None
