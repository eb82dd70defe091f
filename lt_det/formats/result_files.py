"""Result files read piece by piece, so that a list of millions of records is never held at once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import orjson

from ..errors import BadInputError, MissingFileError

_PIECE_BYTES = 1 << 24
_TAIL = 1 << 16
_BOUNDARY = re.compile(rb'\}\s*,\s*(?=\{)')


def record_blocks(
    path: str | os.PathLike, piece_bytes: int = _PIECE_BYTES
) -> Iterator[tuple[list, int]]:
    """Records of a json file that holds one list.

    Args:
        path: The json file.
        piece_bytes: Number of bytes to parse at a time.

    Yields:
        Some records, in order, and the number of bytes read so far.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is not a json list.
    """
    text = b''
    for piece, position in text_pieces(path, piece_bytes):
        text += piece
        try:
            records = parse_piece(text)
        except ValueError as error:
            # A record that holds a list of dicts itself may have been cut: it goes on.
            problem = error
            continue
        text = b''
        yield records, position
    if text:
        raise BadInputError(f'{path}: not a json file: {problem}') from None


def text_pieces(
    path: str | os.PathLike, piece_bytes: int = _PIECE_BYTES
) -> Iterator[tuple[bytes, int]]:
    """The text of a json list, most likely cut where one record ends and the next begins.

    Args:
        path: The json file.
        piece_bytes: Number of bytes to read at a time.

    Yields:
        Text for ``parse_piece``, and the number of bytes read so far.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It does not begin as a list.
    """
    try:
        file = open(path, 'rb')  # noqa: SIM115
    except FileNotFoundError:
        raise MissingFileError(f'result file not found: {path}') from None
    with file:
        text = file.read(piece_bytes)
        while text.isspace():
            text = file.read(piece_bytes)
        if text.lstrip()[:1] != b'[':
            raise BadInputError(f'{path}: expected a json list of records')
        while more := file.read(piece_bytes):
            text += more
            end = _last_boundary(text) + 1
            if end:
                yield text[:end], file.tell()
                text = text[end:]
        yield text, file.tell()


def parse_piece(text: bytes) -> list:
    """Records of a piece: it begins with the bracket or a comma, and may end with the bracket.

    Raises:
        ValueError: It is not json.
    """
    text = text.strip()
    text = b'[%b%b' % (text[1:], b'' if text.endswith(b']') else b']')
    try:
        return orjson.loads(text)
    except ValueError:  # NaN and Infinity, which Python writes, are no json
        return json.loads(text)


def _last_boundary(text: bytes) -> int:
    """Position of the last brace that closes a record before another one; -1 if there is none."""
    for start in (max(len(text) - _TAIL, 0), 0):
        ends = [match.start() for match in _BOUNDARY.finditer(text, start)]
        if ends:
            return ends[-1]
    return -1
