"""A process that waits for others ends within the timeout, and names those that did not come."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lt_det.cli import test, train
from lt_det.cli.lost_processes import lost_processes
from lt_det.errors import UserError

# gloo alone: three processes, of which one ends, comes late, or never begins
PROGRAM = """
import os, sys, time
from datetime import timedelta
import torch, torch.distributed as dist
from lt_det.cli.common import user_errors
from lt_det.cli.lost_processes import lost_processes
how, odd, port, logs = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
os.environ.update(WORLD_SIZE='3', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)

def run(rank):
    sys.stderr = open(f'{logs}/{rank}', 'w', buffering=1)
    os.environ['RANK'] = str(rank)
    with user_errors(), lost_processes():
        if how == 'absent' and rank == odd:
            os._exit(0)
        dist.init_process_group('gloo', timeout=timedelta(seconds=4))
        dist.all_reduce(torch.ones(1))
        if rank == odd:
            if how == 'dies':
                os.kill(os.getpid(), 9)
            time.sleep(9 if how == 'late' else 0)
        # some have more to do than others
        time.sleep(rank)
        dist.all_reduce(torch.ones(1))
        if how == 'fast':
            raise RuntimeError('mine')

ranks = []
for rank in range(3):
    ranks.append(os.fork())
    if not ranks[-1]:
        try:
            run(rank)
        except SystemExit as error:
            os._exit(error.code)
        except RuntimeError as error:
            print(repr(error), end='', file=sys.stderr, flush=True)
            os._exit(7)
        os._exit(0)
print([os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks])
"""


def end_of(how: str, odd: int, folder: Path) -> tuple[list[int], list[str]]:
    """How each process ended, and what it said."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, '-c', PROGRAM, how, str(odd), port, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as group:
        try:
            ends, _ = group.communicate(timeout=120)
        except BaseException:
            os.killpg(group.pid, signal.SIGKILL)
            raise
    texts = [(folder / str(rank)).read_text() for rank in range(3)]
    assert 'Traceback' not in ''.join(texts)
    return [int(end) for end in ends.strip().strip('[]').split(',')], texts


def waits(rank: int, odd: int) -> str:
    return f'error: process {rank} of 0..2 waited in vain for process {odd}, which has ended or is'


@pytest.mark.parametrize(('how', 'odd'), [('dies', 0), ('dies', 1), ('late', 2)])
def test_all_that_wait_name_the_one_that_does_not_come(how, odd, tmp_path):
    ends, texts = end_of(how, odd, tmp_path)
    for rank in {0, 1, 2} - {odd}:
        assert ends[rank] == 2
        assert texts[rank].startswith(waits(rank, odd)) and len(texts[rank].splitlines()) == 1
    assert ends[odd] == (-9 if how == 'dies' else 2)


def test_one_that_has_not_begun(tmp_path):
    ends, texts = end_of('absent', 1, tmp_path)
    assert ends == [2, 0, 2]
    for rank in (0, 2):
        assert f'process {rank} of 0..2 waited in vain' in texts[rank]
        assert 'to start' in texts[rank] and 'dist_cfg.timeout' in texts[rank]


def test_own_errors_are_left_alone(tmp_path):
    ends, texts = end_of('fast', 0, tmp_path)
    assert ends == [7] * 3 and set(texts) == {"RuntimeError('mine')"}


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match='mine'), lost_processes():
        raise RuntimeError('mine')


def test_the_process_that_is_waited_for_is_named_at_the_start(monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('WORLD_SIZE', '3')
    key = 'wait timeout after 5000ms, keys: /default_pg/0//cpu//0/2'
    kind = type('DistStoreError', (RuntimeError,), {})
    words = 'process 0 of 0..2 .* for process 2 to start'
    with pytest.raises(UserError, match=words), lost_processes():
        raise kind(key)


@pytest.mark.parametrize('command', [train, test], ids=['train', 'test'])
def test_training_and_testing_say_it(command, tmp_path, monkeypatch):
    def build(*_):
        raise type('DistStoreError', (RuntimeError,), {})('wait timeout')

    monkeypatch.setattr(command, 'build_runner', build)
    (tmp_path / 'mine.py').write_text('model = dict()\n')
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    files = [str(tmp_path / 'mine.py'), *(['a.pth'] if command is test else [])]
    with pytest.raises(UserError, match='waited in vain'):
        command.run(parser.parse_args([*files, '--work-dir', str(tmp_path)]))
