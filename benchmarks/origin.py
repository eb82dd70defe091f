"""Where and from what a result comes: the machine and the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import numpy as np


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
    folder = Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()
