"""Time and memory until an import is done or a tool has answered ``--help``.

Every measurement is a new Python process, in turn; its memory is its peak, Python's own included.
A peak below that of the measuring process reads as the latter's, as ``python alone`` does.

    python benchmarks/speed/imports.py

Writes benchmarks/results/imports.json and .md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish, table_page
from common.process import median

TASKS = {
    'python alone': ['-c', ''],
    'import lt_det': ['-c', 'import lt_det'],
    'import lt_det.frequency': ['-c', 'import lt_det.frequency'],
    'from lt_det.evaluation import LVISEvaluator': [
        '-c',
        'from lt_det.evaluation import LVISEvaluator',
    ],
    'import lt_det.adjustments': ['-c', 'import lt_det.adjustments'],
    'import lt_det.components': ['-c', 'import lt_det.components'],
    'python tools/train.py --help': ['tools/train.py', '--help'],
    'python tools/analysis/evaluate.py --help': ['tools/analysis/evaluate.py', '--help'],
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--repeats', type=int, default=7)
    return parser.parse_args()


def measure(arguments: list[str]) -> dict[str, float]:
    """Seconds and peak MB of a process of Python."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f'{command} ended with {process.returncode}')
    cpu = usage.ru_utime + usage.ru_stime
    return {'s': seconds, 'cpu_s': cpu, 'mb': usage.ru_maxrss / 1024}


def report(content: dict) -> str:
    about = (
        f'Medians of {content["repeats"]} new processes each, after one that reads the files. '
        '`lt_det.components` is what the first look-up in a registry imports. Memory is the peak; '
        'what is below that of the measuring process reads as `python alone` does.'
    )
    columns = ('process', 's', 'CPU s', 'peak MB')
    rows = (
        (
            *(f'`{row["stage"]}`', f'{row["ours_s"]:.2f}', f'{row["ours_cpu_s"]:.2f}'),
            f'{row["ours_mb"]:.0f}',
        )
        for row in content['rows']
    )
    return table_page('Imports', content, about, columns, rows)


def main() -> None:
    args = parse_args()
    content = origin() | {'repeats': args.repeats}
    found: dict[str, list[dict]] = {stage: [] for stage in TASKS}
    for arguments in TASKS.values():
        measure(arguments)
    for _ in range(args.repeats):
        for stage, arguments in TASKS.items():
            found[stage].append(measure(arguments))
    content['rows'] = [
        {'stage': stage} | {f'ours_{k}': round(median(runs, k), 3) for k in ('s', 'cpu_s', 'mb')}
        for stage, runs in found.items()
    ]
    publish(args.out, 'imports', content, report(content))


if __name__ == '__main__':
    main()
