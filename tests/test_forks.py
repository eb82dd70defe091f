"""Loops in forks give what the same loops give here."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from lt_det import forks
from lt_det.forks import Fork, map_parts


@pytest.fixture(params=[1, 2, 4])
def processes(request, monkeypatch):
    monkeypatch.setattr(forks, 'num_processes', lambda: request.param)
    return request.param


def test_parts_are_those_of_the_items_in_their_order(processes):
    for number in (0, 1, 3, 4, 101):
        parts = map_parts(list, range(number))
        assert len(parts) == max(min(processes, number), 1)
        assert [item for part in parts for item in part] == list(range(number))
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_what_is_not_worth_it_stays_in_this_process(processes):
    assert map_parts(lambda part: (os.getpid(), part), [1, 2, 3], worth=False) == [
        (os.getpid(), [1, 2, 3])
    ]


def test_the_first_part_is_done_here_the_others_are_not(processes):
    ids = map_parts(lambda part: os.getpid(), range(8))
    assert ids[0] == os.getpid()
    assert len(set(ids)) == processes


def test_errors_are_raised_here(processes):
    def fail(part):
        raise ValueError(f'part of {len(part)}')

    fork = Fork(fail, [1, 2])
    with pytest.raises(ValueError, match='part of 2'):
        fork.result()


def test_no_fork_is_left_after_an_error(processes):
    here = os.getpid()

    def work(part):
        if os.getpid() == here:
            raise ValueError(f'part {part}')
        return bytes(10_000_000)  # waits for somebody who reads

    with pytest.raises(ValueError, match=r'part \[0'):
        map_parts(work, [0, 1, 2, 3])
    assert not multiprocessing.active_children()
    with pytest.raises(KeyError), Fork(work, [2]):
        raise KeyError
    assert not multiprocessing.active_children()


def test_results_that_fill_the_pipe_arrive(processes):
    assert Fork(bytes, 10_000_000).result() == bytes(10_000_000)


def test_a_fork_that_is_killed_is_done_here(processes):
    here = os.getpid()

    def work():
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return 'done'

    assert Fork(work).result() == 'done'


def test_forks_can_fork(processes):
    def outer(part):
        return sum(map_parts(sum, part))

    assert sum(map_parts(outer, range(100))) == sum(range(100))


def test_one_processor_or_another_system_has_no_forks(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0}, raising=False)
    assert forks.num_processes() == 1
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(64)), raising=False)
    assert forks.num_processes() == (4 if forks.sys.platform == 'linux' else 1)
    monkeypatch.setattr(forks.sys, 'platform', 'darwin')
    assert forks.num_processes() == 1
