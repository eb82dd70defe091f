"""The notebooks of the docs are those of their scripts, ran without an error, and run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from ..scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'docs/notebooks'
SCRIPTS = [path for path in sorted(FOLDER.glob('*.py')) if path.name != 'make.py']

scripts = pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.stem)


@pytest.fixture(scope='module')
def make() -> ModuleType:
    return load_script(FOLDER / 'make.py')


def printed(notebook: dict) -> str:
    cells = (cell.get('outputs', []) for cell in notebook['cells'])
    return ''.join(line for outputs in cells for output in outputs for line in output['text'])


@scripts
def test_cells_are_those_of_the_script(script, make):
    notebook = json.loads(script.with_suffix('.ipynb').read_text(encoding='utf-8'))
    expected = make.notebook_of(script)
    for cell in (*notebook['cells'], *expected['cells']):
        cell.pop('outputs', None)
    assert notebook == expected
    assert [cell['cell_type'] for cell in expected['cells']].count('code') >= 5


@scripts
def test_what_it_printed_is_whole_and_of_no_machine(script):
    text = printed(json.loads(script.with_suffix('.ipynb').read_text(encoding='utf-8')))
    commands = re.findall(
        r"^run\($\n? *'lt_det (\w+)|^run\('lt_det (\w+)", script.read_text(), re.M
    )
    assert {name for pair in commands for name in pair} - {''} == {
        *('inspect', 'init', 'train', 'calibrate', 'report', 'predict', 'evaluate')
    }
    assert 'error:' not in text and 'Traceback' not in text
    assert not re.search(r'/(tmp|home|root|Users|work)/', text)
    for words in ('12 classes', 'cross-fitted gain', 'report.html', 'APr'):
        assert words in text, words


def test_cells_of_text_and_code(make, tmp_path):
    script = tmp_path / 'two.py'
    script.write_text('# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n# %%\nprint(x)\n')
    assert make.cells(script) == [
        ('markdown', '# Title\n\ntext'),
        ('code', 'x = 1'),
        ('code', 'print(x)'),
    ]
    notebook = make.executed(script)
    assert [cell.get('outputs') for cell in notebook['cells']] == [
        None,
        [],
        [dict(output_type='stream', name='stdout', text=['1\n'])],
    ]


@pytest.mark.slow
@scripts
def test_it_runs(script, make, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    text = printed(make.executed(script))
    assert 'error:' not in text
    assert 'cross-fitted gain' in text
