"""A process that waits for another ends within the timeout, with its rank."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lt_det.cli.train import lost_processes

# gloo alone: a process that ends, or comes late
PROGRAM = """
import os, sys, time
from datetime import timedelta
import torch, torch.distributed as dist
from lt_det.cli.common import user_errors
from lt_det.cli.train import lost_processes
rank, how, store = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2,
                        timeout=timedelta(seconds=5))
with user_errors(), lost_processes():
    dist.all_reduce(torch.ones(1))
    if rank == 1 and how == 'dies':
        os._exit(9)
    if rank == 1 and how == 'late':
        time.sleep(600)
        os._exit(0)
    dist.all_reduce(torch.ones(1))
"""


@pytest.mark.parametrize('how', ['dies', 'late'])
def test_the_one_that_waits_ends_with_its_rank(how, tmp_path):
    command = [sys.executable, '-c', PROGRAM]
    pair = [
        subprocess.Popen(
            [*command, str(rank), how, str(tmp_path / 'store')], stderr=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    try:
        _, said = pair[0].communicate(timeout=120)
        if how == 'late':
            assert pair[1].poll() is None, 'it waited for the late one rather than for the timeout'
    finally:
        pair[1].kill()
        pair[1].communicate()
    assert pair[0].returncode == 2
    lines = [line for line in said.splitlines() if line.startswith('error:')]
    assert len(lines) == 1
    assert 'process 0 of 0..1 waited in vain' in lines[0] and 'Traceback' not in said


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match='mine'), lost_processes():
        raise RuntimeError('mine')
