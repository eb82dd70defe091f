"""What goes wrong in the processes that load data, in a line rather than the traceback of each."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import BadInputError, MissingFileError, UserError
from .loader_options import SHARED_MEMORY

# torch hands over the traceback of a worker as the text of an error of the same type
_WRAPPED = re.compile(r'^Caught (\w+) in DataLoader worker process', re.MULTILINE)
_LOADING = 'in prepare_data\n'  # of every data set of MMEngine
_LOOK = 'to look at all at start: lt_det inspect for a json, check_images=True of ListFileDataset'


@contextmanager
def worker_errors() -> Iterator[None]:
    """Say in a line that a data worker has ended, or that it could not read an image.

    Raises:
        MissingFileError: A file of the data set does not exist.
        BadInputError: An image cannot be decoded.
        UserError: A worker has ended, or has raised one.
    """
    try:
        yield
    except (FileNotFoundError, AssertionError, UserError) as error:
        cause = _cause(error)
        if isinstance(error, UserError):
            if not _WRAPPED.search(_text(error)):
                raise
            raise type(error)(cause) from error
        missing = isinstance(error, FileNotFoundError)
        if not (missing or 'failed to load image' in cause) or not _is_of_loading(error):
            raise
        kind = MissingFileError if missing else BadInputError
        raise kind(f'an image of the data set cannot be read: {cause}; {_LOOK}') from error
    except RuntimeError as error:
        if not re.search(r'DataLoader worker \(pid', str(error)):
            raise
        raise UserError(
            f'{str(error).strip().rstrip(".")}: a process that loads data was ended, as the system '
            f'does where memory or {SHARED_MEMORY} is full; expected fewer of them or smaller '
            'batches: --cfg-options train_dataloader.num_workers=1 (val_dataloader, '
            'test_dataloader), or more shared memory (docker run --shm-size=8g)'
        ) from error


def _cause(error: Exception) -> str:
    """What an error says; of one that torch hands over, what the worker's said."""
    text = _text(error)
    wrapped = _WRAPPED.search(text)
    if not wrapped:
        return text
    lines = text.strip().splitlines()
    return lines[-1].partition(f'{wrapped[1]}: ')[2] or lines[-1]


def _text(error: Exception) -> str:
    """With line breaks, which a UserError is shown without."""
    return error.args[0] if len(error.args) == 1 else str(error)


def _is_of_loading(error: Exception) -> bool:
    return _LOADING in ''.join(traceback.format_exception(error))
