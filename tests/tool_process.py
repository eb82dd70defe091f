"""Tools in processes of their own, as a user starts them.

A new interpreter imports for longer than most tools work. ``run`` forks one that has imported the
packages already; ``run_new`` starts one, which shows that a tool imports all that it needs.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest import MonkeyPatch

ROOT = Path(__file__).resolve().parents[1]

_CONTEXT = multiprocessing.get_context('forkserver')
_CONTEXT.set_forkserver_preload(['tests.preloaded'])


def run_new(
    *command, env: dict | None = None, cwd: Path = ROOT, timeout: float = 600
) -> subprocess.CompletedProcess:
    """Run a script of Python or the shell, or ``-m`` and a module; output and errors as text."""
    program = 'bash' if str(command[0]).endswith('.sh') else sys.executable
    return subprocess.run(
        [program, *map(str, command)],
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run(
    *command, env: dict | None = None, cwd: Path = ROOT, timeout: float = 600
) -> subprocess.CompletedProcess:
    """Run a Python script, or ``-m`` and a module, in a fork; output and errors as text."""
    with TemporaryDirectory() as folder:
        process = start(*command, folder=folder, env=env, cwd=cwd)
        process.join(timeout)
        if process.exitcode is None:
            kill(process)
            raise subprocess.TimeoutExpired([*map(str, command)], timeout)
        texts = [Path(folder, name).read_text() for name in ('stdout', 'stderr')]
        return subprocess.CompletedProcess([*map(str, command)], process.exitcode, *texts)


def start(*command, folder: str | Path, env: dict | None = None, cwd: Path = ROOT):
    """Start what ``run`` runs, with ``stdout`` and ``stderr`` as files in a folder."""
    for name in ('stdout', 'stderr'):
        Path(folder, name).touch()
    arguments = [*map(str, command)], str(folder), environment(env), str(cwd)
    _serve()
    process = _CONTEXT.Process(target=_work, args=arguments)
    process.start()
    return process


def _serve() -> None:
    """Start the server of forks where there is none; it finds these tests from any folder."""
    with MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', environment()['PYTHONPATH'])
        forkserver.ensure_running()


def kill(process) -> None:
    """Kill a process that ``start`` has started, and its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.join()


def environment(extra: dict | None = None) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    env = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable}
    return {**env, **(extra or {})}


def _work(command: Sequence[str], folder: str, env: dict[str, str], cwd: str) -> None:
    os.setsid()
    for number, name in ((1, 'stdout'), (2, 'stderr')):
        os.dup2(os.open(f'{folder}/{name}', os.O_WRONLY | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    first = [''] if command[0] == '-m' else [str(Path(command[0]).parent)]
    sys.path[:0] = [*first, *env['PYTHONPATH'].split(os.pathsep)]
    if command[0] == '-m':
        sys.argv = list(command[1:])
        runpy.run_module(command[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = list(command)
        runpy.run_path(command[0], run_name='__main__')
