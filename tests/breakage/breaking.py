"""Good content broken in one place: strategies of hypothesis."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

NAN, INFINITY = float('nan'), float('inf')
# by what is wrong with them
VALUES: dict[str, list] = {
    'null': [None],
    'true or false': [True, False],
    'another number': [0, 1, -1, 2, 7, 0.0, -0.0, 0.5, 1.0],
    'a huge number': [
        *(2**31, 2**32, -(2**31), 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30),
        *(1e-320, 1e9, 1e20, 1e308, -1e308),
    ],
    'no finite number': [NAN, INFINITY, -INFINITY],
    'text': ['', ' ', '0', '1', '1.5', 'nan', 'text', 'dög', '</b>'],
    'text beyond Unicode': ['\u202e', 'a\nb', '\x00', '\ud800'],
    'a container': [
        *([], {}, [[]], [None], [1], [0.5, 'a'], {'a': 1}, [[[[1]]]], [NAN] * 4, ['x'] * 3),
    ],
    'a long value': ['x' * 100_000, [1] * 10_000],
}


class Broken(NamedTuple):
    """A file broken in one place.

    Args:
        way: In which way, of a few dozen.
        how: What was done, in words.
        data: Content of the file.
    """

    way: str
    how: str
    data: bytes


class Repeated(dict):
    """A record that json writes with a key twice."""

    def __init__(self, record: dict, key: str, value: Any) -> None:
        super().__init__(record)
        self._more = (key, value)

    def items(self) -> list:
        return [*super().items(), self._more]


def places(content: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every value."""
    yield path
    entries = ()
    if isinstance(content, dict):
        entries = content.items()
    elif isinstance(content, (list, tuple)):
        entries = enumerate(content)
    for key, value in entries:
        yield from places(value, (*path, key))


def at(content: Any, path: tuple) -> Any:
    for key in path:
        content = content[key]
    return content


@st.composite
def another_value(draw: Callable) -> tuple[str, Any]:
    """A way of being wrong, and a value that is."""
    way = draw(st.sampled_from(list(VALUES)))
    return way, copy.deepcopy(draw(st.sampled_from(VALUES[way])))


@st.composite
def broken_tree(draw: Callable, content: Any) -> tuple[str, str, Any]:
    """Way, how, and a copy of nested lists and dicts that differs from the content in one place."""
    by_shape: dict[tuple, list[tuple]] = {}
    for path in places(content):
        shape = tuple('*' if isinstance(key, int) else key for key in path)
        by_shape.setdefault(shape, []).append(path)
    path = draw(st.sampled_from(by_shape[draw(st.sampled_from(list(by_shape)))]))
    content = copy.deepcopy(content)
    old = at(content, path)
    kinds = ['value', 'value', 'value', 'type', 'missing', 'twice', 'key', 'magnitude', 'nesting']
    what = draw(st.sampled_from(kinds))
    where = '/'.join(map(str, path)) or '(all)'
    parent = at(content, path[:-1]) if path else None
    if what == 'missing' and isinstance(parent, (dict, list)):
        del parent[path[-1]]
        return what, f'{where} missing', content
    if what == 'twice' and isinstance(parent, list):
        parent.insert(draw(st.integers(0, len(parent))), copy.deepcopy(old))
        return 'entry twice', f'{where} twice', content
    if what == 'twice' and isinstance(parent, dict):
        new = Repeated(parent, path[-1], draw(another_value())[1])
        how = f'{where} twice, then {shown(new._more[1])}'
        return 'key twice', how, replaced(content, path[:-1], new)
    if what == 'key' and isinstance(old, dict):
        key = draw(st.sampled_from(['new', '', '\ud800', 'id', 'x' * 1000]))
        old[key] = draw(another_value())[1]
        return 'another key', f'{where} with another key', content
    if what == 'nesting':
        new = old
        for _ in range(depth := draw(st.sampled_from([1, 2, 50, 500]))):
            new = [new]
        return what, f'{where} in {depth} lists', replaced(content, path, new)
    if what == 'magnitude' and isinstance(old, (int, float)) and not isinstance(old, bool):
        way, new = draw(
            st.sampled_from(
                [
                    *(('negative', -old), ('greater', old * 10**9), ('smaller', old / 10**9)),
                    *(('one off', old + 1), ('one off', old - 1), ('a half off', old + 0.5)),
                ]
            )
        )
        return way, f'{where} {shown(old)} -> {shown(new)}', replaced(content, path, new)
    if what == 'type' and not isinstance(old, (list, dict)):
        others = [str(old), [old], {'value': old}]
        if isinstance(old, int):
            others += [float(old), bool(old)]
        new = draw(st.sampled_from(others))
        how = f'{where} {shown(old)} -> {shown(new)}'
        return 'another type', how, replaced(content, path, new)
    way, new = draw(another_value())
    return way, f'{where} {shown(old)} -> {shown(new)}', replaced(content, path, new)


def replaced(content: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    parent = at(content, path[:-1])
    if isinstance(parent, tuple):
        changed = (*parent[: path[-1]], new, *parent[path[-1] + 1 :])
        return replaced(content, path[:-1], changed)
    parent[path[-1]] = new
    return content


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f'{text[:40]}... ({len(text)})'


@st.composite
def broken_bytes(draw: Callable, data: bytes) -> Broken:
    """Bytes that are cut, changed, longer, in another encoding, or others altogether."""
    what = draw(
        st.sampled_from(
            ['cut', 'end of record', 'flip', 'remove', 'insert', 'repeat', 'zero', 'end', 'all']
        )
    )
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    if what == 'cut':
        return Broken(what, f'cut off at {place}', data[:place])
    if what == 'end of record' and b'}' in data:
        stop = draw(st.sampled_from([i + 1 for i, byte in enumerate(data) if byte == ord('}')]))
        return Broken(what, f'cut off behind a record at {stop}', data[:stop])
    if what == 'flip' and data:
        bit = draw(st.integers(0, 7))
        changed = bytes([data[place] ^ 1 << bit])
        how = f'bit {bit} at {place}'
        return Broken(what, how, data[:place] + changed + data[place + 1 :])
    if what == 'remove':
        stop = place + draw(st.sampled_from([1, 2, 100]))
        return Broken(what, f'without {place} to {stop}', data[:place] + data[stop:])
    if what == 'insert':
        more = draw(
            st.sampled_from([b'\0', b'\xff', b'"', b'[', b'}', b',', b'\n', b'NaN', b'\x80'])
        )
        return Broken(what, f'{more} at {place}', data[:place] + more + data[place:])
    if what == 'repeat':
        stop = place + draw(st.sampled_from([1, 10, 1000]))
        twice = data[:stop] + data[place:stop] + data[stop:]
        return Broken(what, f'{place} to {stop} twice', twice)
    if what == 'zero':
        stop = min(place + draw(st.sampled_from([1, 64, 4096])), len(data))
        filled = data[:place] + bytes(stop - place) + data[stop:]
        return Broken(what, f'{place} to {stop} zero', filled)
    if what == 'end':
        more = draw(st.sampled_from([b'\n', b' ', b'\0', b'x', b']', b'}', b',', data]))
        return Broken(what, f'{shown(more)} at the end', data + more)
    others = [b'', b'\n', b'\0', b'null', b'1', b'""', b'[]', b'{}', b'[[]]', b'\xef\xbb\xbf']
    others += [b'[' * 100_000, b'{"a":' * 100_000, b'PK\x03\x04', b'\x89PNG\r\n\x1a\n', b'<html>']
    ways = [('another file', other) for other in others]
    encoded = {'utf-8-sig', 'utf-16', 'utf-32', 'utf-16-le', 'latin-1', 'cp1252'}
    try:
        text = data.decode()
        ways += [('another encoding', text.encode(name, 'replace')) for name in sorted(encoded)]
        ways += [('line ends', text.replace('\n', '\r\n').encode())]
        ways += [('other quotes', text.replace('"', "'").encode())]
    except UnicodeDecodeError:
        pass
    way, new = draw(st.sampled_from(ways))
    return Broken(way, f'replaced by {shown(new)}', new)


@st.composite
def broken_content(draw: Callable, content: object, write: Callable[[object], bytes]) -> Broken:
    """Nested content broken in one place, as it is written."""
    way, how, changed = draw(broken_tree(content))
    return Broken(way, how, write(changed))


@st.composite
def broken_json(draw: Callable, content: Any) -> Broken:
    """A json broken as text (one of four) or in one value."""
    if draw(st.integers(0, 3)) == 0:
        return draw(broken_bytes(json.dumps(content).encode()))
    way, how, changed = draw(broken_tree(content))
    return Broken(way, how, json.dumps(changed).encode())


@st.composite
def broken_lines(draw: Callable, text: str) -> Broken:
    """A text of lines, broken as bytes or in one line."""
    if draw(st.integers(0, 2)) == 0:
        return draw(broken_bytes(text.encode()))
    lines = text.splitlines()
    place = draw(st.integers(0, len(lines) - 1))
    words = lines[place].split()
    way = draw(st.sampled_from(list(LINES)))
    new = draw(st.sampled_from(LINES[way](lines, lines[place], words)))
    if draw(st.booleans()):
        lines[place] = new
        how = f'line {place + 1} -> {shown(new)}'
        return Broken(f'line: {way}', how, ('\n'.join(lines) + '\n').encode())
    lines.insert(place, new)
    how = f'line {shown(new)} before {place + 1}'
    return Broken(f'another line: {way}', how, ('\n'.join(lines) + '\n').encode())


def with_last(words: list[str], *last: str) -> list[str]:
    """The words of a line, with each of others as the last of them."""
    return [' '.join([*words[:-1], word]) for word in last]


# by what is wrong with a line: of all lines, the one, and its words, what may be there instead
LINES: dict[str, Callable[[list[str], str, list[str]], list[str]]] = {
    'blank': lambda lines, line, words: ['', ' ', '\t'],
    'spaces around': lambda lines, line, words: [line + '\t', ' ' + line],
    'a word more': lambda lines, line, words: [line + ' 1', 'a b c 1', 'word\tword'],
    'a word fewer': lambda lines, line, words: [' '.join(words[:-1])],
    'other order': lambda lines, line, words: [' '.join(words[::-1])],
    'tabs': lambda lines, line, words: ['\t'.join(words)],
    'the first again': lambda lines, line, words: [lines[0]],
    'out of range': lambda lines, line, words: with_last(words, '-1', '99', '1e3'),
    'a huge number': lambda lines, line, words: with_last(words, '9' * 30, '9' * 5000),
    'no number': lambda lines, line, words: with_last(words, '1.0', 'nan', 'x'),
    'numbers of Python alone': lambda lines, line, words: with_last(words, '²', '1_0', '٣', '+1'),
    'punctuation': lambda lines, line, words: ['"', "'a'", ',', '#'],
    'characters of control': lambda lines, line, words: [
        *('ö', '\x00', '\x0b', '\x85', '\u2028', '\x1c', '\r', '\ufeff')
    ],
    'long': lambda lines, line, words: ['x' * 100_000],
    'a path outside': lambda lines, line, words: ['../' * 20 + 'a 1', '/etc/passwd 1'],
}


ARRAYS = [
    ('empty', lambda a: a[:0]),
    ('one fewer', lambda a: a[:-1]),
    ('one more', lambda a: np.concatenate([a, a[-1:]]) if a.ndim else np.stack([a, a])),
    ('one more dimension', lambda a: a[None]),
    ('flat', lambda a: a.reshape(-1)),
    ('a number', lambda a: np.array(3)),
    ('text', lambda a: a.astype(str)),
    ('bool', lambda a: a.astype(bool)),
    ('complex', lambda a: np.ones(a.shape, complex)),
    ('dates', lambda a: np.zeros(a.shape, 'datetime64[s]')),
    ('objects', lambda a: a.astype(object)),
    ('negative', lambda a: -np.ones(a.shape, np.int64)),
    ('huge', lambda a: np.full(a.shape, 2**62)),
    ('unsigned', lambda a: np.full(a.shape, 2**63, np.uint64)),
    ('nan', lambda a: np.full(a.shape, np.nan)),
    ('infinite', lambda a: np.full(a.shape, -np.inf)),
    ('half', lambda a: np.full(a.shape, 0.5)),
    ('turned', lambda a: a.T[::-1]),
    ('zero', lambda a: np.zeros(a.shape, a.dtype)),
]


def broken_array(array: np.ndarray, name: str) -> np.ndarray:
    """An array changed as the entry of ``ARRAYS`` says; as it is where that cannot be done."""
    try:
        return dict(ARRAYS)[name](array)
    except (TypeError, ValueError, IndexError, AttributeError, AssertionError):
        return array
