"""A function in a forked process, which is killed after a while or ends by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def start_child(function: Callable[[], object], log: Path) -> int:
    """Begin a function in a forked process of a group of its own.

    Args:
        function: What to run; the process ends with what it returns, or 1 where it raises.
        log: Where its output goes, behind what is there.

    Returns:
        The id of the process, and of its group.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1), os.dup2(output, 2)
        status = int(function() or 0)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def kill_group(child: int) -> None:
    """End a child and all that it has started."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has ended, or has not begun its group yet
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def run_child(function: Callable[[], object], log: Path, dies_after: float | None = None) -> int:
    """Run a function in a forked process of a group of its own.

    Args:
        function: What to run.
        log: Where its output goes.
        dies_after: Seconds until the group gets SIGKILL; None: it ends by itself.

    Returns:
        Exit status; -9 where it was killed.
    """
    child = start_child(function, log)
    if dies_after is not None:
        time.sleep(dies_after)
        kill_group(child)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def command(*arguments: object) -> Callable[[], int]:
    """What runs a command of lt_det in this process."""

    def call() -> int:
        from lt_det.cli.main import main

        return main([str(argument) for argument in arguments])

    return call


def import_everything() -> None:
    """Once, before forks: what a training imports. One thread, for others do not outlive a fork."""
    import mmdet.utils
    import torch

    import lt_det.components  # noqa: F401

    mmdet.utils.register_all_modules(init_default_scope=False)
    torch.set_num_threads(1)
