"""The table of MMDetection's zoo: what is counted, and that the page for readers shows it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from compat import mmdet_tests, zoo

from lt_det.compat.ops import Ops

ROOT = Path(__file__).resolve().parents[2]
BUILDS = {
    'a/big.py': {'config': 'a/big.py', 'parameters': 9},
    'a/small.py': {'config': 'a/small.py', 'parameters': 5},
    'a/other.py': {'config': 'a/other.py', 'error': 'RuntimeError: lap  is not installed'},
    'b/b.py': {'config': 'b/b.py', 'error': 'RuntimeError: lap  is not installed'},
    'c/c.py': {'config': 'c/c.py', 'parameters': 1},
}
RUNS = {
    'a/small.py': {'trains': True, 'predicts': 'NotImplementedError: mmcv op `x` is not compiled'},
    'c/c.py': {'error': 'the process ended with -11'},
}


def test_a_family_is_stepped_with_its_smallest_model():
    assert zoo.smallest(BUILDS) == {'a': 'a/small.py', 'c': 'c/c.py'}


def test_rows():
    a, b, c = zoo.table(BUILDS, RUNS, zoo.smallest(BUILDS))
    assert (a['build'], a['configs'], a['trains'], a['predicts']) == (2, 3, True, False)
    assert a['errors'] == [
        'builds: RuntimeError: lap is not installed',
        'predicts: NotImplementedError: mmcv op `x` is not compiled',
    ]
    assert (b['build'], b['config'], b['trains']) == (0, None, False)
    assert (c['trains'], c['errors'][0]) == (False, 'trains: the process ended with -11')


def test_the_page_shows_the_results():
    content = json.loads((zoo.ROOT / 'benchmarks' / 'results' / 'zoo.json').read_text())
    rows = [line for line in zoo.report(content).splitlines() if line.startswith('| ')]
    page = (ROOT / 'docs' / 'models.md').read_text()
    assert len(rows) > 100
    assert [row for row in rows if row not in page] == []


def test_a_process_that_ends_early_names_the_config(monkeypatch, tmp_path):
    """And the others are asked for again."""
    outputs = iter(
        [
            (
                -11,
                '{"config": "a", "started": true}\n{"config": "a", "parameters": 1}\n'
                '{"config": "b", "started": true}\n',
            ),
            (0, '{"config": "c", "started": true}\n{"config": "c", "parameters": 2}\n'),
        ]
    )

    class Process:
        def __init__(self, *args, **kwargs) -> None:
            self.code, text = next(outputs)
            self.stdout = text.splitlines()

        def wait(self) -> int:
            return self.code

    monkeypatch.setattr(zoo.subprocess, 'Popen', Process)
    rows = zoo.work('build', ['a', 'b', 'c'], tmp_path)
    assert rows['b']['error'] == 'the process ended with -11'
    assert [rows[name].get('parameters') for name in 'abc'] == [1, None, 2]
    assert zoo.work('build', ['a', 'b', 'c'], tmp_path) == rows  # from the file


@pytest.mark.skipif(
    not isinstance(import_module('mmcv._ext'), Ops), reason='mmcv has compiled ops here'
)
def test_tests_of_mmdetection_run_beside_its_configs(tmp_path):
    """On a checkout of two tests, of which one asks for an op that nobody provides."""
    folder = tmp_path / 'test_models' / 'test_losses'
    folder.mkdir(parents=True)
    (folder / 'test_two.py').write_text(
        'import torch\n'
        'from mmcv.ops import border_align\n'
        'from mmdet.testing import get_detector_cfg\n'
        'def test_config():\n'
        "    assert get_detector_cfg('tood/tood_r50_fpn_1x_coco.py')\n"
        'def test_op():\n'
        '    border_align(torch.zeros(1, 4, 3, 3), torch.zeros(1, 9, 4), 10)\n'
    )
    passed, failed = mmdet_tests.run(tmp_path, 'losses')
    assert passed == {'test': 'test_two::test_config', 'outcome': 'passed'}
    assert failed['outcome'] == 'failure'
    assert 'is not compiled' in failed['reason']
