"""Files that are there whole or not at all, and what they held."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import MissingFileError, UserError


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside ``path`` to write to, which takes its place at the end.

    What ``path`` held before stays until then, also when the process is killed; of several writers
    the last one stays. Its folder is made.

    Raises:
        UserError: The file cannot be written, as on a full disk.
    """
    path = Path(path)
    part = path.with_name(f'{path.name}.{secrets.token_hex(8)}.part')
    try:
        with _user_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
    finally:
        with suppress(OSError):  # where the folder is a file
            part.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike) -> None:
    """Refuse a path that cannot be written to, before the work whose result it is for.

    Its folder is made; what it holds stays.

    Raises:
        UserError: It is a folder, or no file can be made beside it.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f'{path} cannot be written: it is a folder')
    with _user_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()


def looks_like_checkpoint(path: str | os.PathLike) -> bool:
    """Whether a file begins as those of ``torch.save`` do: a zip, or a pickle in its bytes."""
    with open(path, 'rb') as file:
        return file.read(4).startswith((b'PK\x03\x04', b'\x80'))


def check_is_file(path: str | os.PathLike, what: str, remedy: str = '') -> None:
    """Refuse a path that is no file.

    Args:
        path: The path.
        what: The kind of file, for the message.
        remedy: What follows the message where there is nothing.

    Raises:
        MissingFileError: There is nothing, or a folder.
    """
    if os.path.isdir(path):
        raise MissingFileError(f'{what} {path} is a folder, expected a file')
    if not os.path.isfile(path):
        raise MissingFileError(f'{what} {path} does not exist{remedy}')


def check_folder(path: str | os.PathLike) -> None:
    """Make a folder, and refuse one that no file can be written to.

    Raises:
        UserError: It is a file, or cannot be made or written to.
    """
    path = Path(path)
    with _user_errors(path):
        if path.exists() and not path.is_dir():
            raise UserError(f'{path} is a file, expected a folder')
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()


@contextmanager
def _user_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise  # of what the caller reads meanwhile
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}') from error


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
