"""What results have in common: their origin, mean and deviation over seeds, pages and files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'benchmarks' / 'results'


def option_parser(description: str) -> argparse.ArgumentParser:
    """A parser of a benchmark's options, with ``--out``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', default=str(RESULTS), help='folder of the results')
    return parser


def origin(*details: str) -> dict[str, str]:
    """Date, command, machine (with the load now, and more details) and commit of a run."""
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    command = ['python', script.as_posix(), *sys.argv[1:]]
    return {
        'date': date.today().isoformat(),
        'command': shlex.join(command),
        'machine': ', '.join([machine(), *details]),
        'commit': commit(),
    }


def machine() -> str:
    """Processor, cores, memory, load, and the versions of Python and numpy."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    model = models[0] if models else platform.processor() or platform.machine()
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    return (
        f'{model}, {os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the '
        f'start, Python {platform.python_version()}, numpy {np.__version__}'
    )


def commit() -> str:
    """Short name of the commit that is checked out."""
    command = ['git', 'rev-parse', '--short', 'HEAD']
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def spread(values: list[float | None]) -> str:
    """Mean and standard deviation; - where a value is missing."""
    if any(value is None for value in values):
        return '-'
    deviation = f' ± {statistics.stdev(values):.3f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.3f}{deviation}'


def per_cent(values: list[float]) -> str:
    """Mean and standard deviation of shares, in per cent."""
    deviation = f' ± {100 * statistics.stdev(values):.1f}' if len(values) > 1 else ''
    return f'{100 * statistics.mean(values):.1f}{deviation}'


def table_page(
    title: str, content: dict, about: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    """A page of one table: title, origin of the results, what they are, and the rows as text."""
    lines = [
        f'# {title}',
        '',
        f'{content["date"]}, `{content["command"]}`, {content["machine"]}, commit '
        f'{content["commit"]}.',
        '',
        about,
        '',
        f'| {" | ".join(columns)} |',
        '|---' * len(columns) + '|',
        *(f'| {" | ".join(row)} |' for row in rows),
    ]
    return '\n'.join(lines) + '\n'


def publish(folder: str | Path, name: str, content: dict, page: str) -> None:
    """Write NAME.json and NAME.md into the folder of results, and print the page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{name}.json').write_text(json.dumps(content, indent=1) + '\n')
    (folder / f'{name}.md').write_text(page)
    print(page)
