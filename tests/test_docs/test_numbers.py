"""Numbers of README and docs are those of ``benchmarks/results``, and each says of which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .claims import linked, unlinked, values_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]

pages = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def line_of(text: str, start: int) -> str:
    return f'line {text.count(chr(10), 0, start) + 1}'


@pages
def test_numbers_are_those_of_the_results(page):
    text = page.read_text(encoding='utf-8')
    wrong = [
        f'{line_of(text, claim.start)}: {claim.text} is written, {claim.value} was measured'
        for claim in linked(text)
        if not claim.holds
    ]
    assert not wrong


@pages
def test_measured_numbers_say_where_they_come_from(page):
    text = page.read_text(encoding='utf-8')
    assert not [f'{line_of(text, claim.start)}: {claim.text}' for claim in unlinked(text)]


@pages
def test_no_comment_breaks_a_paragraph(page):
    """A line that begins with one ends the paragraph before it, and what follows begins another."""
    lines = ['', *page.read_text(encoding='utf-8').splitlines(), '']
    breaks = [
        number
        for number, (before, line, after) in enumerate(zip(lines, lines[1:], lines[2:]), 1)
        if line.startswith('<!--')
        and before
        and not before.startswith(('#', '|'))
        and (after or not line.endswith('-->'))
    ]
    assert not breaks


def changed(number: str) -> str:
    """The number with another last digit."""
    return number[:-1] + str((int(number[-1]) + 1) % 10)


@pages
def test_another_digit_is_noticed(page):
    text = page.read_text(encoding='utf-8')
    mutated = text
    for claim in linked(text):
        end = claim.start + len(claim.text)
        mutated = mutated[: claim.start] + changed(claim.text) + mutated[end:]
    assert not [claim for claim in linked(mutated) if claim.holds]


SOFTMAX = "methods_detection(method='softmax')"


def test_a_mean_is_that_of_the_rows():
    rows = json.loads((ROOT / 'benchmarks/results/methods_detection.json').read_text())['rows']
    found = [row['metrics']['segm_APr'] for row in rows if row['method'] == 'softmax']
    assert len(found) == 3
    (mean,) = values_of(f'{SOFTMAX}.segm_APr')
    assert mean == pytest.approx(sum(found) / 3, abs=1e-12)


def test_a_wrong_number_does_not_hold():
    right = f'APr is 0.368 <!-- measured: {SOFTMAX}.segm_APr -->'
    assert [claim.holds for claim in linked(right)] == [True]
    assert [claim.holds for claim in linked(right.replace('0.368', '0.358'))] == [False]
    assert not unlinked(right)


def test_numbers_are_taken_from_the_end():
    page = f'Of 7 rows 0.446 and 0.37. <!-- measured: s = {SOFTMAX}; s.segm_AP; s.segm_APr -->'
    assert [claim.text for claim in linked(page) if claim.holds] == ['0.446', '0.37']


@pytest.mark.parametrize(
    ('page', 'numbers'),
    [
        ('AP is 0.446', ['0.446']),
        ('a 95% interval at IoU 0.5', []),
        ('it takes 3 s and 2 GB', ['3', '2']),
        ('30 classes, `tau=0.5`, PyTorch 2.4, arXiv 2209.04861, 0.10.12, R50, [x](1.5.md)', []),
        ('```\nAP 0.446\n```\n', []),
        ('<!-- given: published -->\nAP 26.3\n\nAP 26.4', ['26.4']),
        ('AP 26.3\n\nAP 26.4\n<!-- given on this page: published -->', []),
    ],
)
def test_claims_without_a_source(page, numbers):
    assert [claim.text for claim in unlinked(page)] == numbers


@pytest.mark.parametrize('body', ['nothing.AP', "methods_detection(method='none').segm_AP"])
def test_unknown_results_are_an_error(body):
    with pytest.raises((KeyError, NameError)):
        values_of(body)


def test_a_number_for_each_value():
    with pytest.raises(ValueError, match='2 values, 1 numbers'):
        linked(f'AP 0.446 <!-- measured: {SOFTMAX}.segm_AP; {SOFTMAX}.segm_APr -->')
