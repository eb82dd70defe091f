"""Text files as editors and shells write them: with or without a byte order mark."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from ..errors import BadInputError

# the mark of UTF-32 begins with that of UTF-16
_ENCODINGS = {
    codecs.BOM_UTF8: 'utf-8-sig',
    codecs.BOM_UTF32_LE: 'utf-32',
    codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16',
    codecs.BOM_UTF16_BE: 'utf-16',
}


def read_text(path: str | os.PathLike, errors: str = 'strict') -> str:
    """The text of a file, each line ended by one newline character.

    UTF-8, or what a byte order mark says, which is no part of the text.

    Raises:
        BadInputError: It is in another encoding.
    """
    content = Path(path).read_bytes()
    marked = (name for mark, name in _ENCODINGS.items() if content.startswith(mark))
    try:
        text = content.decode(next(marked, 'utf-8'), errors)
    except UnicodeDecodeError as error:
        raise BadInputError(f'{path}: not a text in UTF-8: {error}') from None
    return text.replace('\r\n', '\n').replace('\r', '\n')


def read_utf8(path: str | os.PathLike) -> bytes:
    """The bytes of a text file in UTF-8 without a byte order mark; others are left as they are."""
    content = Path(path).read_bytes()
    if content.startswith(tuple(_ENCODINGS)):
        return read_text(path).encode()
    return content
