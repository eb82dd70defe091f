"""The metafiles of the configs: every config once, and numbers that have a source."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.name for path in (ROOT / 'configs').glob('[!_]*/'))


def metafile(folder: str) -> dict:
    return yaml.safe_load((ROOT / 'configs' / folder / 'metafile.yml').read_text(encoding='utf-8'))


@cache
def metafile_rows() -> dict[str, dict]:
    """The row of each config, by its path."""
    return {row['Config']: row for folder in FOLDERS for row in metafile(folder)['Models']}


@pytest.mark.parametrize('folder', FOLDERS)
def test_every_config_is_listed_once(folder):
    content = metafile(folder)
    expected = sorted(
        f'configs/{folder}/{p.name}' for p in (ROOT / 'configs' / folder).glob('*.py')
    )
    assert sorted(row['Config'] for row in content['Models']) == expected
    collections = {entry['Name']: entry for entry in content['Collections']}
    assert {row['In Collection'] for row in content['Models']} == set(collections)
    assert all((ROOT / entry['README']).is_file() for entry in collections.values())


def test_the_index_imports_every_metafile_and_names_are_unique():
    imported = yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))['Import']
    assert imported == [f'configs/{folder}/metafile.yml' for folder in FOLDERS]
    names = [row['Name'] for row in metafile_rows().values()]
    assert len(names) == len(set(names))


def test_published_numbers_have_a_source_and_lie_in_0_to_100():
    quoted = [row['Published'] for row in metafile_rows().values() if 'Published' in row]
    assert quoted
    for published in quoted:
        values = dict(published)
        assert values.pop('Source').startswith('https://')
        assert values and all(0 <= value <= 100 for value in values.values())


def test_measured_rows_are_in_the_results():
    rows = [row for row in metafile_rows().values() if 'Measured' in row]
    assert rows
    for row in rows:
        said = row['Measured']
        path = ROOT / f'benchmarks/results/{said["Results"]}.json'
        content = json.loads(path.read_text(encoding='utf-8'))
        metrics = [r['metrics'] for r in content['rows'] if said['Rows'].items() <= r.items()]
        assert len(metrics) >= 1, row['Config']
        key = f'{said["Metrics"]}_APr' if 'Metrics' in said else 'few'
        assert all(0 <= m[key] <= 1 for m in metrics), row['Config']


def test_the_table_of_lvis_names_every_config_once_with_the_published_numbers():
    text = (ROOT / 'configs/lvis/README.md').read_text(encoding='utf-8')
    table = re.findall(r'^\| \[([\w.-]+)\]\(\1\.py\) \| (.*?) \|', text, re.MULTILINE)
    rows = {Path(row['Config']).stem: row for row in metafile('lvis')['Models']}
    assert sorted(name for name, _ in table) == sorted(rows)
    for name, cell in table:
        values = dict(rows[name].get('Published', {}))
        values.pop('Source', None)
        written = [float(number) for number in re.findall(r'\d+\.\d', cell)]
        assert written == list(values.values()), name
