"""Measurements that have a process of their own: how one is started, its memory and its time."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from .origin import ROOT


def measure(script: str, *task: str, python: str = sys.executable) -> dict:
    """The json that ``script --worker TASK`` prints in its last line.

    Raises:
        RuntimeError: The process failed; with what it said.
    """
    command = [python, script, '--worker', *task]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(task)} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def median(results: list[dict], key: str) -> float:
    return statistics.median(result[key] for result in results)


def status_mb(field: str) -> float:
    """A field of the process status of Linux in MB; the peak elsewhere."""
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


class FamilyMemory(threading.Thread):
    """Memory of this process and its forks in MB, looked at while a block runs.

    Attributes:
        peak: The largest sum; what several processes share counts once.
    """

    def __init__(self, pause: float = 1.0) -> None:
        super().__init__(daemon=True)
        self.peak, self._pause, self._ended = 0.0, pause, threading.Event()

    def __enter__(self) -> FamilyMemory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.is_set():
            self.peak = max(self.peak, sum(map(_shared_mb, _family(os.getpid()))))
            self._ended.wait(self._pause)


def _family(process: int) -> Iterator[int]:
    yield process
    for children in Path(f'/proc/{process}/task').glob('*/children'):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                yield from _family(int(child))


def _shared_mb(process: int) -> float:
    """The memory of a process, its part of what it shares, in MB; 0 if it has ended."""
    try:
        lines = Path(f'/proc/{process}/smaps_rollup').read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith('Pss:')), 0.0)


def reset_peak() -> None:
    """From here on, VmHWM is the peak of what follows."""
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


def with_peak(step: Callable[[], tuple[float, float]], accelerated: bool) -> tuple[float, float]:
    """Do a step for the first time and see how much memory it takes.

    Args:
        step: Returns a number to check, and the MB of it that are not what is measured.
        accelerated: Whether it runs on a GPU.

    Returns:
        The number, and the peak in MB above what was there before.
    """
    if accelerated:
        import torch

        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated() / 2**20
    else:
        reset_peak()
        base = status_mb('VmRSS')
    check, others = step()
    peak = torch.cuda.max_memory_allocated() / 2**20 if accelerated else status_mb('VmHWM')
    return check, max(peak - base - others, 0)


def cpu_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
