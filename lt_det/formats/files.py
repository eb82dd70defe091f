"""Files that are there whole or not at all, and what they held."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import MissingFileError, UserError


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside ``path`` to write to, which takes its place at the end.

    What ``path`` held before stays until then, also when the process is killed. Its folder is made.

    Raises:
        UserError: The file cannot be written, as on a full disk.
    """
    path = Path(path)
    part = path.with_name(path.name + '.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except UserError:
        raise  # of what the caller reads meanwhile
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}') from error
    finally:
        with suppress(OSError):  # where the folder is a file, or the part a folder
            part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; ? for what is no Unicode.

    Raises:
        UserError: It cannot be written, as on a full disk.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding='utf-8', errors='replace')


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal digest of a file.

    Raises:
        MissingFileError: There is no such file.
    """
    try:
        with open(path, 'rb') as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
            return digest.hexdigest()
    except (FileNotFoundError, IsADirectoryError):
        raise MissingFileError(f'file {path} does not exist') from None
