"""The page of the reliability campaigns is made from their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..scripts import load_script

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'reliability' / 'report.py'


@pytest.fixture(scope='module')
def report():
    if not SCRIPT.is_file():
        pytest.skip('needs the benchmarks of a checkout')
    return load_script(SCRIPT)


def campaign(**other) -> dict:
    row = dict(campaign='kill', tries=1200, survived=1199, lost=1, found=['a', 'b'], fixed=['a'])
    return {**row, 'command': 'python kill.py', **other}


def test_a_row_and_what_was_found(report, tmp_path):
    for name in ('kill', 'resume'):
        (tmp_path / f'{name}.json').write_text(json.dumps(campaign(campaign=name)))
    page = report.page(report.read(tmp_path))
    for name in ('kill', 'resume'):
        assert f'| {name} | 1,200 | 1,199 | 1 | 2 | 1 |' in page
    assert page.count('- mended: a\n- open: b\n') == 2
    assert 'written by hand' in page


@pytest.mark.parametrize(
    ('other', 'words'), [(dict(lost=2), 'are not the tries'), (dict(command=None), 'lacks command')]
)
def test_numbers_that_do_not_add_up(report, tmp_path, other, words):
    row = {key: value for key, value in campaign(**other).items() if value is not None}
    (tmp_path / 'kill.json').write_text(json.dumps(row))
    with pytest.raises(ValueError, match=words):
        report.read(tmp_path)
