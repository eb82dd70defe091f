"""Result files read piece by piece, so that a list of millions of records is never held at once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from ..errors import BadInputError, MissingFileError

_PIECE_BYTES = 1 << 24
_TAIL = 1 << 16
_BOUNDARY = re.compile(rb'\}\s*,\s*(?=\{)')
_BOM = b'\xef\xbb\xbf'


def record_blocks(path: str | os.PathLike, piece_bytes: int = _PIECE_BYTES) -> Iterator[list]:
    """Records of a json file that holds one list.

    Args:
        path: The json file, in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
        piece_bytes: Number of bytes to parse at a time.

    Yields:
        Some records, in order.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is not a json list.
    """
    text = piece = b''
    for piece in text_pieces(path, piece_bytes):
        text += piece
        try:
            records = _parse(text)
        except (ValueError, RecursionError) as error:
            # A record that holds a list of dicts itself may have been cut: it goes on.
            problem = error
            continue
        text = b''
        yield records
    if text:
        raise BadInputError(f'{path}: not a json file: {problem}') from None
    if not piece.rstrip().endswith(b']'):
        raise BadInputError(f'{path}: cut off behind a record, the list does not end')


def text_pieces(path: str | os.PathLike, piece_bytes: int = _PIECE_BYTES) -> Iterator[bytes]:
    """The UTF-8 text of a json list, most likely cut where one record ends and the next begins.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It does not begin as a list.
    """
    try:
        file = open(path, 'rb')  # noqa: SIM115
    except FileNotFoundError:
        raise MissingFileError(f'result file not found: {path}') from None
    except IsADirectoryError:
        raise BadInputError(f'{path}: expected a json file, found a folder') from None
    with file:
        text = file.read(piece_bytes)
        encoding = json.detect_encoding(text[:4])
        if not encoding.startswith('utf-8'):
            try:
                yield _begun(path, Path(path).read_bytes().decode(encoding).encode())
            except UnicodeError as error:
                raise BadInputError(f'{path}: not a json file: {error}') from None
            return
        text = text.removeprefix(_BOM)
        while text.isspace():
            text = file.read(piece_bytes)
        text = _begun(path, text)
        while more := file.read(piece_bytes):
            text += more
            end = _last_boundary(text) + 1
            if end:
                yield text[:end]
                text = text[end:]
        yield text


def spread_records(path: str | os.PathLike, number: int, part: int) -> Iterator[list]:
    """Records from parts of a file that are spread over it.

    Args:
        path: The json file.
        number: Number of parts; the last ends with the file.
        part: Bytes of a part.
    """
    last_start = os.path.getsize(path) - part
    with open(path, 'rb') as file:
        for place in range(number):
            file.seek(max(last_start, 0) * place // max(number - 1, 1))
            text = file.read(part)
            first, last = _BOUNDARY.search(text), _last_boundary(text)
            if first and last > first.start():
                yield _parse(text[first.start() + 1 : last + 1])


def holds_key(path: str | os.PathLike, key: str) -> bool:
    """Whether a record of a result file has a key whose value is not null."""
    filled = re.compile(rb'"%b"\s*:\s*(?!null)\S' % key.encode())
    return any(filled.search(piece) for piece in text_pieces(path))


def _begun(path: str | os.PathLike, text: bytes) -> bytes:
    if text.lstrip()[:1] != b'[':
        raise BadInputError(f'{path}: expected a json list of records, found {text[:20]!r}')
    return text


def _parse(text: bytes) -> list:
    """Records of a piece: it begins with the bracket or a comma, and may end with the bracket."""
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
