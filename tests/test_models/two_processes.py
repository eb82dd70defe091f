"""A function in two processes that are one group of gloo."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.multiprocessing as mp


def in_two_processes(function: Callable, *arguments: Any) -> None:
    """Call ``function(rank, *arguments)`` in each."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    # forked: a new interpreter would import everything again
    mp.start_processes(_joined, (port, function, *arguments), nprocs=2, start_method='fork')


def _joined(rank: int, port: int, function: Callable, *arguments: Any) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo',
        f'tcp://127.0.0.1:{port}',
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=30),  # rather than 30 minutes where one waits in vain
    )
    function(rank, *arguments)
    torch.distributed.destroy_process_group()
