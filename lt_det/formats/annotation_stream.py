"""Reading an LVIS or COCO json record by record, in the memory of a few records."""

from __future__ import annotations

import codecs
import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

SECTIONS = ('images', 'annotations', 'categories')

_BLOCK = 2**18  # bytes parsed at once: what a batch allocates stays in the processor's cache
_WINDOW = 2**20  # the longest value of another key (info, licenses) that is skipped
_FORGET = 2**26  # bytes after which pages already parsed are given back


def _tokens(pattern: bytes) -> re.Pattern:
    """Tokens with blanks where the pattern has them: those of json, fewer than those of ``\\s``."""
    return re.compile(pattern.replace(b' ', rb'[ \t\n\r]*'))


_KEY = _tokens(
    rb' "([!#-\[\]-~\x20]*)" : '
)  # of printable ASCII; files with others are parsed whole
_START = _tokens(rb' \{')
_NEXT = _tokens(rb' ([,}])')
_LIST = _tokens(rb'\[ (\]?)')
_LAST_RECORD = _tokens(rb'\} \]')
_BETWEEN_RECORDS = _tokens(rb'\} , \{')
_BLANK = _tokens(rb' \Z')


class NotStreamableError(ValueError):
    """The file is no json, or one that has to be parsed whole."""


def stream_records(path: Path) -> Iterator[tuple[str, list]]:
    """Batches of the lists ``images``, ``annotations`` and ``categories``, in the file's order.

    A block of the file is cut where one record seems to end and another to begin. If such a cut is
    not between records (it is in a text, or in a list of objects in a record), the block is no
    complete list and does not parse: a batch that comes out is what a json parser would give.

    Yields:
        Name of the list, and some of its entries.

    Raises:
        NotStreamableError: The file has to be parsed whole to know what is in it.
    """
    with path.open('rb') as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file
            raise NotStreamableError(str(error)) from error
        seen = set()
        start = len(codecs.BOM_UTF8) if data[:3] == codecs.BOM_UTF8 else 0
        position = _match(_START, data, start).end()
        while True:
            key = _match(_KEY, data, position)
            name, position = key[1].decode(), key.end()
            if name in SECTIONS:
                if name in seen:
                    raise NotStreamableError(f'{name} occurs twice')
                seen.add(name)
                position = yield from _records(data, position, name)
            else:
                position = _skip(data, position)
            after = _match(_NEXT, data, position)
            position = after.end()
            if after[1] == b'}':
                break
        _match(_BLANK, data, position)


def _match(pattern: re.Pattern, data: mmap.mmap, position: int) -> re.Match:
    match = pattern.match(data, position)
    if not match:
        raise NotStreamableError(f'unexpected {data[position : position + 20]!r} at {position}')
    return match


def _records(data: mmap.mmap, position: int, name: str) -> Iterator[tuple[str, list]]:
    """Yields batches of the list at ``position``; returns the position behind it."""
    opening = _match(_LIST, data, position)
    position = opening.end()
    if opening[1]:
        yield name, []
        return position
    forgotten = 0
    while True:
        cut, is_last = _cut(data, position)
        try:
            batch = _parse(b'[' + data[position:cut] + b']')
        except (ValueError, RecursionError) as error:
            raise NotStreamableError(f'{error} behind {position}') from error
        yield name, batch
        if is_last:
            return data.find(b']', cut) + 1
        position = data.find(b',', cut) + 1
        if position - forgotten > _FORGET and hasattr(mmap, 'MADV_DONTNEED'):
            forgotten = position // mmap.PAGESIZE * mmap.PAGESIZE
            data.madvise(mmap.MADV_DONTNEED, 0, forgotten)


def _parse(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:  # NaN, Infinity and lone surrogates, which Python writes and reads
        return json.loads(text)


def _cut(data: mmap.mmap, position: int) -> tuple[int, bool]:
    """Where the last record of a block ends, and whether it is the last of the list."""
    size = _BLOCK
    while True:
        stop = position + size
        last = _LAST_RECORD.search(data, position, stop)
        if last:
            return last.start() + 1, True
        while (stop := data.rfind(b'}', position, stop)) >= 0:
            if _BETWEEN_RECORDS.match(data, stop):
                return stop + 1, False
        if position + size >= len(data):
            raise NotStreamableError(f'no end of the list behind {position}')
        size *= 2


def _skip(data: mmap.mmap, position: int) -> int:
    # latin-1: a character per byte
    window = data[position : position + _WINDOW].decode('latin-1')
    try:
        _, length = json.JSONDecoder().raw_decode(window)
        data[position : position + length].decode(errors='surrogatepass')  # as json.loads
    except (ValueError, RecursionError) as error:
        raise NotStreamableError(f'{error} behind {position}') from error
    if length == _WINDOW:  # a number may go on
        raise NotStreamableError(f'a long value at {position}')
    return position + length
