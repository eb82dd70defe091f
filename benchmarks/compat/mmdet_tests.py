"""MMDetection's own tests of its heads, losses and layers, with ``import lt_det`` and no ops.

Neither the wheel nor the source distribution of MMDetection holds these tests: name the folder
``tests`` of a checkout. They run on the CPU, beside the installed MMDetection and its configs.

    python benchmarks/compat/mmdet_tests.py --tests MMDETECTION/tests

Writes benchmarks/results/mmdet_tests.json and .md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish

FOLDERS = ('roi_heads', 'dense_heads', 'losses', 'layers')
CONFTEST = """import lt_det

import mmdet.testing._utils as utils

utils._get_config_directory = lambda: {configs!r}
"""


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--tests', required=True, help="the folder tests of MMDetection's checkout")
    parser.add_argument('--folders', nargs='+', default=FOLDERS, choices=FOLDERS)
    args = parser.parse_args()
    for name in args.folders:
        folder = Path(args.tests) / 'test_models' / f'test_{name}'
        if not folder.is_dir():
            parser.error(
                f'argument --tests: {folder} is no folder; expected the tests of a checkout'
            )
    return args


def run(tests: Path, folder: str) -> list[dict[str, str]]:
    """Test, outcome and reason of each test in a folder, run on a copy.

    MMDetection looks for its configs beside the package; the copy's conftest names those that
    are in it.
    """
    configs = Path(find_spec('mmdet').origin).parent / '.mim' / 'configs'
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / 'tests'
        shutil.copytree(tests / 'test_models' / f'test_{folder}', copy)
        if (copy / 'conftest.py').exists():
            raise FileExistsError(f'test_{folder} has a conftest of its own')
        (copy / 'conftest.py').write_text(CONFTEST.format(configs=str(configs)))
        report = copy / 'report.xml'
        command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
        command += [f'--junitxml={report}', '.']
        environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'CUDA_VISIBLE_DEVICES': ''}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        if not report.is_file():
            raise RuntimeError(f'pytest has not run in {folder}:\n{done.stdout}{done.stderr}')
        return [_outcome(case) for case in ET.parse(report).iter('testcase')]


def _outcome(case: ET.Element) -> dict[str, str]:
    row = {'test': f'{case.get("classname")}::{case.get("name")}', 'outcome': 'passed'}
    for outcome in ('failure', 'error', 'skipped'):
        found = case.find(outcome)
        if found is not None:
            reason = (found.get('message') or '').partition('\n')[0][:200]
            row = {**row, 'outcome': outcome, 'reason': reason}
    return row


def report(content: dict) -> str:
    lines = [
        "# MMDetection's own tests without compiled ops",
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        '| tests of | passed | failed | skipped | failed for a missing op |',
        '|---|---|---|---|---|',
    ]
    for folder, rows in content['rows'].items():
        outcomes = [row['outcome'] for row in rows]
        failed = [row for row in rows if row['outcome'] in ('failure', 'error')]
        missing = sum('is not compiled' in row['reason'] for row in failed)
        lines.append(
            f'| {folder} | {outcomes.count("passed")} | {len(failed)} '
            f'| {outcomes.count("skipped")} | {missing} |'
        )
    lines += ['', '| fails | why |', '|---|---|']
    for rows in content['rows'].values():
        for row in rows:
            if row['outcome'] in ('failure', 'error'):
                reason = row['reason'].replace('|', '\\|')
                lines.append(f'| `{row["test"]}` | {reason} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    names = ('onedl-mmdetection', 'onedl-mmcv', 'torch', 'torchvision')
    content = origin(*(f'{name} {version(name)}' for name in names))
    content['rows'] = {folder: run(Path(args.tests), folder) for folder in args.folders}
    publish(args.out, 'mmdet_tests', content, report(content))


if __name__ == '__main__':
    main()
