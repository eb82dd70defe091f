"""Processes that work together, forked from one that has imported everything."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from child import command, kill_group, start_child

LONGEST = 300  # seconds of a try; one that has not ended then hangs


class Group:
    """Processes of one command, as a scheduler starts them, until the last has ended.

    Attributes:
        ends: Exit status of each; -9 where it was killed, None where it had not ended in time.
        texts: What each has said.
        seconds: Of each, from the moment at which one became odd (0: none did) to its end.
    """

    def __init__(self, number: int, folder: Path, *arguments: object) -> None:
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        logs = [folder.with_name(f'{folder.name}.{rank}.log') for rank in range(number)]
        running = {
            rank: start_child(as_rank(rank, number, port, arguments), log)
            for rank, log in enumerate(logs)
        }
        self.ends, self.seconds, odd_since = [None] * number, [0.0] * number, 0.0
        stop = time.monotonic() + LONGEST
        while running and time.monotonic() < stop:
            time.sleep(0.05)
            if not odd_since and any('ODD NOW' in text_of(log) for log in logs):
                odd_since = time.monotonic()
            for rank, child in [*running.items()]:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    self.ends[rank] = os.waitstatus_to_exitcode(status)
                    self.seconds[rank] = time.monotonic() - odd_since if odd_since else 0.0
                    kill_group(running.pop(rank))  # data workers of one that was killed
        for child in running.values():
            kill_group(child)
            os.waitpid(child, 0)
        self.texts = [text_of(log) for log in logs]

    def failures(self) -> list[str]:
        """What is wrong where all were to end well."""
        return [
            f'process {rank} ended with {end}: {text[-300:]}'
            for rank, (end, text) in enumerate(zip(self.ends, self.texts))
            if end != 0
        ]


def text_of(log: Path) -> str:
    return log.read_text(errors='replace') if log.exists() else ''


def as_rank(rank: int, number: int, port: int, arguments: tuple) -> Callable[[], int]:
    """What runs a command of lt_det as one of several processes."""

    def call() -> int:
        if number == 1:
            return command(*arguments)()
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(number))
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        return command(*arguments, '--launcher', 'pytorch')()

    return call
