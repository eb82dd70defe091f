"""The html of the report page as a text: what it holds, and what cannot get out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lt_det.report.classification_plots import SHOT_COLOURS
from lt_det.report.page.build import FOLDER, as_script_data, build
from lt_det.report.plots import GROUP_COLOURS

HOSTILE = ('</script><script>alert(1)</script>', '<!--', ']]>', '"\'&\\', '\u2028', '\u202ea', '{{')


@pytest.fixture(scope='module')
def data() -> dict:
    return json.loads(Path(__file__).with_name('report_page.json').read_text())


def elements(page: str, tag: str) -> list[tuple[str, str]]:
    """Attributes and content of elements that hold no elements, as a browser finds them."""
    return re.findall(rf'<{tag}\b([^>]*)>(.*?)</{tag}>', page, re.DOTALL | re.IGNORECASE)


def test_data_come_back_as_they_were(data):
    (text,) = (text for attributes, text in elements(build(data), 'script') if 'json' in attributes)
    assert json.loads(text) == {k: v for k, v in data.items() if k != 'calibration_html'}


@pytest.mark.parametrize('name', HOSTILE)
def test_no_text_of_the_data_leaves_its_place(data, name):
    names = [name, *data['classes']['name'][1:]]
    data = {**data, 'title': name, 'classes': {**data['classes'], 'name': names}}
    page = build(data)
    assert len(elements(page, 'script')) == 3
    (text,) = (text for attributes, text in elements(page, 'script') if 'json' in attributes)
    assert not set(text) & set('<>&\u2028')
    assert json.loads(text)['classes']['name'][0] == name
    head = page[: page.index('<script')]
    if '<' in name:
        assert name not in re.sub(r'<style>.*</style>', '', head, flags=re.DOTALL)


def test_half_characters_of_file_names_can_be_written(data):
    page = build({**data, 'title': 'a\udce9b', 'notes': ['\udce9']})
    assert 'a?b' in page and page.encode()


def test_numbers_that_json_has_no_word_for_are_refused():
    with pytest.raises(ValueError, match='JSON'):
        as_script_data({'value': float('nan')})


def test_only_the_scripts_of_the_page_may_run(data):
    page = build(data)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    rules = dict(rule.split(' ', 1) for rule in policy.replace('&#39;', "'").split('; '))
    scripts = [text for attributes, text in elements(page, 'script') if not attributes]
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert rules.pop('script-src') == ' '.join(f"'sha256-{digest}'" for digest in digests)
    assert rules == {
        'default-src': "'none'",
        'style-src': "'unsafe-inline'",
        'img-src': 'data:',
        'base-uri': "'none'",
        'form-action': "'none'",
    }


def test_nothing_is_taken_from_elsewhere(data):
    page = build(data)
    assert not re.findall(r'(?:src|href|action)\s*=\s*["\']?(?!#|data:)\w+:', page)
    assert not re.findall(r'@import|url\(|<link|<base|<iframe|<object', page)


def test_scripts_write_text_and_never_html():
    scripts = [path.read_text() for path in Path(FOLDER, 'js').glob('*.js')]
    assert len(scripts) == 9
    words = r'innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.html\(|eval\(|new Function'
    assert not [found for script in scripts for found in re.findall(words, script)]


def test_library_and_license(data):
    page = build(data)
    library = Path(FOLDER, 'vendor/d3.min.js').read_text()
    license = Path(FOLDER, 'vendor/d3.LICENSE').read_text()
    assert library.startswith('// https://d3js.org v7.9.2 Copyright')
    assert license.startswith('Copyright 2010-2026 Mike Bostock')
    assert library in page and license in page


def test_calibration_is_a_part_where_there_is_one(data):
    assert data['calibration_html'] in build(data)
    assert 'id="calibration"' not in build({**data, 'calibration_html': None})


# linear RGB as people see it without one kind of cones (Machado et al. 2009, severity 1)
SIGHT = {
    'all cones': [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    'protanopia': [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    'deuteranopia': [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    'tritanopia': [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    x, y, z = np.cbrt(XYZ @ rgb / XYZ.sum(1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize('sight', SIGHT)
def test_colours_of_groups_are_told_apart(sight):
    seen = [
        lab(np.clip(np.array(SIGHT[sight]) @ linear(colour), 0.01, 1))
        for colour in GROUP_COLOURS.values()
    ]
    distances = [np.linalg.norm(seen[a] - seen[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert min(distances) > 30  # 2.3 is just noticeable


def test_colours_of_groups_are_those_of_all_plots(data):
    page = build(data)
    groups = zip(('rare', 'common', 'frequent'), GROUP_COLOURS.values())
    for name, colour in groups:
        assert f'--{name}: {colour};' in page
    assert [SHOT_COLOURS[name] for name in ('few', 'medium', 'many')] == [*GROUP_COLOURS.values()]
