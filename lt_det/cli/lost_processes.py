"""Which process the others have waited for in vain: one that is late, or has ended.

A backend says to a process which operation failed, not who was missing. So each process that gives
up leaves a mark in the store over which the processes found each other, and looks for the marks of
the others: one without a mark has not come to where the others waited.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from torch.distributed import Store

GRACE = 5.0  # seconds in which all that wait notice that one has given up
REMEDY = 'env_cfg.dist_cfg.timeout gives the seconds to wait'


class LostProcessError(UserError):
    """What one process has to say, and no other has."""


@contextmanager
def lost_processes(grace: float = GRACE) -> Iterator[None]:
    """Name the processes that others wait for in vain, where some have ended or are late.

    Args:
        grace: Seconds to wait for the marks of others.

    Raises:
        LostProcessError: Who waited for whom, and what the backend has said.
    """
    try:
        yield
    except RuntimeError as error:  # DistBackendError of NCCL is one, gloo has no type of its own
        import torch.distributed as dist

        text = str(error)
        lost = type(error).__name__.startswith('Dist') or '/gloo/' in text
        if not (lost and dist.is_available()):
            raise
        line = (text.splitlines() or [''])[0]
        if not dist.is_initialized():
            raise LostProcessError(_not_joined(line)) from error
        rank, size = dist.get_rank(), dist.get_world_size()
        store = dist.PrefixStore('lt_det', dist.distributed_c10d._get_default_store())
        if '/gloo/' in text:  # those that wait for this process are told at once
            with suppress(RuntimeError):
                dist.destroy_process_group()
        raise LostProcessError(f'{_who(store, rank, size, grace)} ({REMEDY}): {line}') from error


def _not_joined(line: str) -> str:
    """What a process says that has not met all others."""
    rank, size = os.environ.get('RANK', '?'), int(os.environ.get('WORLD_SIZE', 0))
    # gloo asks the store for the address of each process, under its number
    asked = re.search(r'keys: \S*/(\d+)$', line)
    whom = f'process {asked[1]}' if asked else 'all others'
    return f'process {rank} of 0..{size - 1} waited in vain for {whom} to start ({REMEDY}): {line}'


def _who(store: Store, rank: int, size: int, grace: float) -> str:
    """Who waited for whom, by the marks that processes leave in the store."""
    me = f'process {rank} of 0..{size - 1}'
    try:
        missing, late = marks_of_others(store, rank, size, grace)
    except RuntimeError:  # no torchrun holds the store, but process 0
        missing, late = [0], False
    if late:
        return f'{me} was late: all others had given up before it came'
    if not missing:
        return f'{me} and all others waited in vain for each other: the network between them fails'
    names = ' and '.join(f'process {other}' for other in missing)
    have, are = ('has', 'is') if len(missing) == 1 else ('have', 'are')
    return (
        f'{me} waited in vain for {names}, which {have} ended or {are} late; an own error of '
        f'{names} stands above or below'
    )


def marks_of_others(
    store: Store, rank: int, size: int, grace: float = GRACE
) -> tuple[list[int], bool]:
    """Leave a mark, and look for those of other processes.

    Args:
        store: What all processes reach.
        rank: The number of this process.
        size: How many there are.
        grace: Seconds to look for.

    Returns:
        The ranks without a mark, and whether all others had left theirs a second before this one.

    Raises:
        RuntimeError: The process that holds the store has ended.
    """
    now, end = time.time(), time.monotonic() + grace
    store.set(f'gave up/{rank}', repr(now))
    missing, times = {other for other in range(size) if other != rank}, []
    while missing:
        try:
            for other in sorted(missing):
                if store.check([f'gave up/{other}']):
                    times.append(float(store.get(f'gave up/{other}')))
                    missing.remove(other)
        except RuntimeError:
            if 0 in missing:
                raise
            break  # process 0 has looked long enough
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    if rank == 0:  # it may hold the store, and leaves after those that look
        _wait_for_readers(store, size - 1 - len(missing), end + grace)
    else:
        with suppress(RuntimeError):
            store.add('have looked', 1)
    return sorted(missing), not missing and now - max(times, default=now) > 1


def _wait_for_readers(store: Store, number: int, end: float) -> None:
    while store.add('have looked', 0) < number and time.monotonic() < end:
        time.sleep(0.1)
