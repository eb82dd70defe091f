"""Numbers in pages of text, and the results that they come from.

A number that claims a measurement is followed by a comment, which pages do not show:

    APr rises from 0.368 to 0.413 <!-- measured: m = methods_detection;
    m(method='softmax').segm_APr; m(method='iif_smooth').segm_APr -->

Its body is Python: names are files of ``benchmarks/results``; a call keeps the rows with those
values; an attribute is a key of what is kept (of rows, the mean; those of ``metrics`` too). As many
numbers as the comment has expressions, the last ones before it, must be their values, rounded to
the digits that are written. ``<!-- given: why -->`` stands in a paragraph or table whose numbers
are no measurements of this project, ``<!-- given on this page: why -->`` on a page of such.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).resolve().parents[2] / 'benchmarks/results'

COMMENT = re.compile(r'<!--\s*(measured|given|given on this page):\s*(.*?)\s*-->', re.DOTALL)
# code, targets of links and images, addresses, tags and comments hold no claims
NO_CLAIM = re.compile(
    r'^(?P<fence>```|~~~).*?^(?P=fence)|`[^`\n]+`|(?<=\])\([^)\s]*\)|<!--.*?-->|<[a-z/][^>]*>'
    r'|https?://\S+|^( {4}|\t)(?![ \t]*([-*]|\d+\.) ).*?$',
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r'(?<![\w.,/])[+\-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w|[.,]\d)')
UNIT = re.compile(r'\s?(?:%|(?:points?|ms|s|seconds?|minutes?|hours?|[kMG]i?B|times|images/s)\b)')
# numbers that measure nothing: versions, thresholds, papers
NAMED = re.compile(
    r'(?:Python|[Tt]orch|torchvision|CUDA|NumPy|MMDetection|MMPretrain|mm\w+|mkdocs\S*|version'
    r'|LVIS|API|arXiv|IoU) $'
)
PAPER = re.compile(r'\d{4}\.\d{4,5}$')


class Number(float):
    """The mean of ``values``."""

    values: list[float]

    def __new__(cls, values: list[float]) -> Number:
        number = super().__new__(cls, sum(values) / len(values))
        number.values = values
        return number

    def __getitem__(self, index: int) -> float:
        return self.values[index]


class Rows:
    """Records of a results file; a file itself is one record."""

    def __init__(self, records: list[dict]):
        self._records = records

    def __call__(self, **wanted: Any) -> Rows:
        records = self._records
        if len(records) == 1 and 'rows' in records[0]:
            records = records[0]['rows']
        kept = [r for r in records if all(r.get(key) == value for key, value in wanted.items())]
        if not kept:
            raise KeyError(f'no row has {wanted}')
        return Rows(kept)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Rows:
        return Rows([self._records[index]])

    def __getattr__(self, key: str) -> Rows | Number:
        def look_up(record: dict) -> Any:
            return record[key] if key in record else record['metrics'][key]

        values = [look_up(record) for record in self._records]
        if any(isinstance(value, list) for value in values):
            values = [item for value in values for item in value]
        return Rows(values) if isinstance(values[0], dict) else Number(values)


class Names(dict):
    """What an expression may call by name: results files beside a few functions."""

    def __missing__(self, name: str) -> Rows:
        return read(name)


@cache
def read(name: str) -> Rows:
    path = RESULTS / f'{name}.json'
    if not path.is_file():
        raise KeyError(f'{name}: no such file in benchmarks/results')
    return Rows([json.loads(path.read_text(encoding='utf-8'))])


def values_of(body: str) -> list[float]:
    """Values of the expressions of a comment, in order."""
    names = Names(sum=sum, len=len, min=min, max=max)
    values = []
    for statement in ast.parse(' '.join(body.split())).body:
        if isinstance(statement, ast.Expr):
            code = compile(ast.Expression(statement.value), body, 'eval')
            values.append(float(eval(code, {'__builtins__': {}}, names)))
        else:
            exec(compile(ast.Module([statement], []), body, 'exec'), {'__builtins__': {}}, names)
    return values


class Claim(NamedTuple):
    """A number and where it stands; ``value`` where it is said what was measured."""

    start: int
    text: str
    value: float | None = None

    @property
    def holds(self) -> bool:
        digits = len(self.text.partition('.')[2])
        written = float(self.text.replace(',', '').replace('−', '-'))
        return f'{self.value:.{digits}f}' == f'{written:.{digits}f}'


def _numbers(text: str, start: int, end: int) -> Iterator[re.Match]:
    for number in NUMBER.finditer(text, start, end):
        before = text[max(0, number.start() - 20) : number.start()]
        level = text.startswith('% interval', number.end())
        if not level and not NAMED.search(before) and not PAPER.fullmatch(number[0]):
            yield number


def _block(text: str, at: int) -> tuple[int, int]:
    """The paragraph or table around a place."""
    start = text.rfind('\n\n', 0, at)
    end = text.find('\n\n', at)
    return start + 2 if start >= 0 else 0, end if end >= 0 else len(text)


def linked(page: str) -> list[Claim]:
    """Numbers with what was measured.

    Raises:
        ValueError: A comment has more expressions than numbers stand before it.
    """
    text = NO_CLAIM.sub(lambda match: ' ' * len(match[0]), page)
    claims = []
    last = 0
    for comment in COMMENT.finditer(page):
        if comment[1] == 'measured':
            start = max(last, _block(page, comment.start())[0])
            numbers = list(_numbers(text, start, comment.start()))
            values = values_of(comment[2])
            if len(values) > len(numbers):
                raise ValueError(f'{len(values)} values, {len(numbers)} numbers: {comment[0]}')
            pairs = zip(numbers[len(numbers) - len(values) :], values)
            claims += [Claim(number.start(), number[0], value) for number, value in pairs]
        last = comment.end()
    return claims


def unlinked(page: str) -> list[Claim]:
    """Numbers with a decimal point or a unit, without what was measured."""
    comments = list(COMMENT.finditer(page))
    if any(comment[1] == 'given on this page' for comment in comments):
        return []
    given = [_block(page, c.start()) for c in comments if c[1] == 'given']
    known = {claim.start for claim in linked(page)}
    text = NO_CLAIM.sub(lambda match: ' ' * len(match[0]), page)
    return [
        Claim(number.start(), number[0])
        for number in _numbers(text, 0, len(text))
        if number.start() not in known
        and ('.' in number[0] or UNIT.match(text, number.end()))
        and not any(start <= number.start() < end for start, end in given)
    ]
