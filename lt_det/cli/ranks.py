"""Several processes of one command on this machine, by torchrun; what is said where one fails."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence

GRACE = 10.0  # seconds that a process leaves to the first, where all have the same to say


def start_ranks(arguments: Sequence[str], number: int) -> int:
    """Run ``lt_det`` in as many processes, which find each other.

    Each process says what went wrong in it, so that torchrun need not.

    Args:
        arguments: Of the command line of each.
        number: How many.

    Returns:
        Exit status of the one that failed first, 0 where none did.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault('OMP_NUM_THREADS', '1')  # as torchrun does, which says so in four lines
    for name in ('multiprocessing.api', 'agent.server.api'):
        logging.getLogger(f'torch.distributed.elastic.{name}').setLevel(logging.CRITICAL)
    options = ['--standalone', f'--nproc_per_node={number}']
    try:
        run.run(run.parse_args([*options, '-m', 'lt_det', *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == 2:
            return 2
        killed = failure.exitcode < 0
        how = f'by signal {-failure.exitcode}' if killed else f'with status {failure.exitcode}'
        print(f'error: process {rank} of {number} ended {how}', file=sys.stderr)
        return 128 - failure.exitcode if killed else failure.exitcode
    except SignalException as error:
        return 128 + error.sigval
    return 0


def let_the_first_speak() -> None:
    """Wait in all processes but the first: where it ends too, torchrun ends the others."""
    if int(os.environ.get('RANK', 0)) and int(os.environ.get('WORLD_SIZE', 1)) > 1:
        time.sleep(GRACE)
