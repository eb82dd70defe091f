from __future__ import annotations

import signal

import pytest
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from lt_det.cli import ranks
from lt_det.cli.main import main
from lt_det.cli.ranks import let_the_first_speak, start_ranks

from ..tool_process import run_new


def failed(status: int) -> ChildFailedError:
    failure = ProcessFailure(local_rank=1, pid=7, exitcode=status, error_file='<N/A>')
    return ChildFailedError('lt_det', {1: failure})


@pytest.mark.parametrize(
    ('error', 'status', 'said'),
    [
        (None, 0, ''),
        (failed(2), 2, ''),  # the process has said why
        (failed(1), 1, 'error: process 1 of 2 ended with status 1\n'),
        (failed(-9), 137, 'error: process 1 of 2 ended by signal 9\n'),
        (SignalException('interrupted', signal.SIGINT), 130, ''),
    ],
)
def test_the_status_is_that_of_what_failed_first(error, status, said, monkeypatch, capsys):
    started = []

    def run(args):
        started.append(args)
        if error is not None:
            raise error

    monkeypatch.setattr(torchrun, 'run', run)
    assert start_ranks(['train', 'mine.py', '--amp'], 2) == status
    assert capsys.readouterr().err == said
    (args,) = started
    assert args.nproc_per_node == '2' and args.standalone and args.module
    assert (args.training_script, args.training_script_args) == (
        'lt_det',
        ['train', 'mine.py', '--amp'],
    )


def test_each_process_is_told_that_it_is_one(monkeypatch):
    def start(arguments, number):
        assert arguments[-4:] == ['--gpus', '1', '--launcher', 'pytorch']
        return number

    monkeypatch.setattr('lt_det.cli.train.start_ranks', start)
    monkeypatch.setattr('sys.argv', ['lt_det', 'train', 'mine.py', '--gpus', '3'])
    assert main() == 3


@pytest.mark.parametrize(('rank', 'size', 'waits'), [('0', '2', 0), ('1', '2', 1), ('0', '1', 0)])
def test_all_but_the_first_wait_with_what_they_say(rank, size, waits, monkeypatch):
    slept = []
    monkeypatch.setattr(ranks.time, 'sleep', slept.append)
    monkeypatch.setenv('RANK', rank)
    monkeypatch.setenv('WORLD_SIZE', size)
    let_the_first_speak()
    assert len(slept) == waits


@pytest.mark.slow
def test_an_error_of_all_processes_is_one_line(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'lt_det::lvis/mask_rcnn_r50_iif.py'\ndata_root = 'nowhere/'\n")
    done = run_new('-m', 'lt_det', 'train', config, '--gpus', '2', cwd=tmp_path)
    assert done.returncode == 2
    assert [line[:23] for line in done.stderr.splitlines()] == ['error: annotation file ']
