"""Result files read piece by piece, so that a list of millions of records is never held at once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

from ..errors import BadInputError, MissingFileError

_BLOCK_BYTES = 1 << 24
_TAIL = 1 << 16
_BOUNDARY = re.compile(rb'\}\s*,\s*(?=\{)')


def record_blocks(
    path: str | os.PathLike, block_bytes: int = _BLOCK_BYTES
) -> Iterator[tuple[list, int]]:
    """Records of a json file that holds one list.

    The text is cut where one record ends and the next begins. A cut that falls inside a record (it
    holds a list of dicts itself) leaves text that is no json, so the block is extended.

    Args:
        path: The json file.
        block_bytes: Number of bytes to parse at a time.

    Yields:
        Some records, in order, and the number of bytes read so far.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is not a json list.
    """
    try:
        file = open(path, 'rb')  # noqa: SIM115
    except FileNotFoundError:
        raise MissingFileError(f'result file not found: {path}') from None
    with file:
        text = file.read(block_bytes)
        while text.isspace():
            text = file.read(block_bytes)
        text = text.lstrip()
        if text[:1] != b'[':
            raise BadInputError(f'{path}: expected a json list of records')
        text = text[1:]
        while True:
            more = file.read(block_bytes)
            if not more:
                break
            text += more
            end = _last_boundary(text)
            try:
                records = json.loads(b'[%b]' % text[: end + 1]) if end >= 0 else []
            except ValueError:
                records = []
            if records:
                yield records, file.tell()
                text = text[text.index(b'{', end + 1) :]
            else:
                block_bytes *= 2
        try:
            records = json.loads(b'[' + text)
        except ValueError as error:
            raise BadInputError(f'{path}: not a json file: {error}') from None
        yield records, file.tell()


def _last_boundary(text: bytes) -> int:
    """Position of the last brace that closes a record before another one; -1 if there is none."""
    for start in (max(len(text) - _TAIL, 0), 0):
        ends = [match.start() for match in _BOUNDARY.finditer(text, start)]
        if ends:
            return ends[-1]
    return -1
