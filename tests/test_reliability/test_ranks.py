"""A process that waits for others ends within the timeout, and names those that did not come."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from lt_det.cli import test, train
from lt_det.cli.lost_processes import lost_processes
from lt_det.errors import UserError

# gloo alone: three processes, of which one ends, comes late, or never begins
PROGRAM = """
import json, os, sys, time
from datetime import timedelta
import torch, torch.distributed as dist
from lt_det.cli.common import user_errors
from lt_det.cli.lost_processes import lost_processes

def run(rank, how, odd, port, logs):
    sys.stderr = open(f'{logs}/{rank}', 'w', buffering=1)
    os.environ.update(RANK=str(rank), WORLD_SIZE='3', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    with user_errors(), lost_processes():
        if how == 'absent' and rank == odd:
            os._exit(0)
        dist.init_process_group('gloo', timeout=timedelta(seconds=6))
        dist.all_reduce(torch.ones(1))
        if rank == odd:
            if how == 'dies':
                os.kill(os.getpid(), 9)
            time.sleep(12 if how == 'late' else 0)
        # some have more to do than others
        time.sleep(rank)
        dist.all_reduce(torch.ones(1))
        if how == 'fast':
            raise RuntimeError('mine')

groups = []
for case in json.loads(sys.argv[1]):
    groups.append([])
    for rank in range(3):
        groups[-1].append(os.fork())
        if not groups[-1][-1]:
            try:
                run(rank, *case)
            except SystemExit as error:
                os._exit(error.code)
            except RuntimeError as error:
                print(repr(error), end='', file=sys.stderr, flush=True)
                os._exit(7)
            os._exit(0)
print(json.dumps([[os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]
                  for ranks in groups]))
"""
CASES = [('dies', 0), ('dies', 1), ('late', 2), ('absent', 1), ('fast', 0)]


@pytest.fixture(scope='module')
def ends(tmp_path_factory) -> dict[tuple, tuple[list[int], list[str]]]:
    """How each process of each case ended, and what it said; most of the time all wait."""
    folders = [tmp_path_factory.mktemp(f'{how}_{odd}') for how, odd in CASES]
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(('127.0.0.1', 0))) for _ in CASES]
        ports = [str(each.getsockname()[1]) for each in free]
    cases = [[*case, port, str(path)] for case, port, path in zip(CASES, ports, folders)]
    command = [sys.executable, '-c', PROGRAM, json.dumps(cases)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as groups:
        try:
            found, _ = groups.communicate(timeout=120)
        except BaseException:
            os.killpg(groups.pid, signal.SIGKILL)
            raise
    texts = [[(folder / str(rank)).read_text() for rank in range(3)] for folder in folders]
    assert 'Traceback' not in str(texts)
    return dict(zip(CASES, zip(json.loads(found), texts)))


def waits(rank: int, odd: int) -> str:
    return f'error: process {rank} of 0..2 waited in vain for process {odd}, which has ended or is'


@pytest.mark.parametrize(('how', 'odd'), [('dies', 0), ('dies', 1), ('late', 2)])
def test_all_that_wait_name_the_one_that_does_not_come(how, odd, ends):
    codes, texts = ends[how, odd]
    for rank in {0, 1, 2} - {odd}:
        assert codes[rank] == 2
        assert texts[rank].startswith(waits(rank, odd)) and len(texts[rank].splitlines()) == 1
    assert codes[odd] == (-9 if how == 'dies' else 2)


def test_one_that_has_not_begun(ends):
    codes, texts = ends['absent', 1]
    assert codes == [2, 0, 2]
    for rank in (0, 2):
        assert f'process {rank} of 0..2 waited in vain' in texts[rank]
        assert 'to start' in texts[rank] and 'dist_cfg.timeout' in texts[rank]


def test_own_errors_are_left_alone(ends):
    codes, texts = ends['fast', 0]
    assert codes == [7] * 3 and set(texts) == {"RuntimeError('mine')"}


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
    (tmp_path / 'a.pth').touch()
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    files = [str(tmp_path / 'mine.py'), *([str(tmp_path / 'a.pth')] if command is test else [])]
    with pytest.raises(UserError, match='waited in vain'):
        command.run(parser.parse_args([*files, '--work-dir', str(tmp_path)]))
