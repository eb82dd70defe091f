"""benchmarks/speed/gpu.py: a step that fails is told, and what it found before is kept."""

from __future__ import annotations

import json
import signal
import sys
import time
import warnings
from types import SimpleNamespace

import pytest
import torch
from common import mock_gpu
from speed import gpu
from speed.gpu_steps import syncs
from speed.gpu_steps.context import Context

from ..conftest import ROOT


def good(context: Context) -> None:
    context.check('sum', True, '2', found=1.23456)
    context.note('time', s=0.5)


def wrong(context: Context) -> None:
    context.check('sum', False, '2', found=3)


def broken(context: Context) -> None:
    context.note('before', s=0.5)
    raise RuntimeError('no | kernel')


def endless(context: Context) -> None:
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ('step', 'status', 'reason'),
    [
        (good, 'held', ''),
        (wrong, 'failed', 'sum'),
        (broken, 'failed', "RuntimeError('no | kernel')"),
        (endless, 'failed', 'TimeoutError'),
    ],
)
def test_status_of_a_step(step, status, reason, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'speed.gpu_steps.fake', SimpleNamespace(run=step))
    monkeypatch.setitem(gpu.STEPS, 1, gpu.STEPS[1]._replace(module='fake', limit=0.2))
    before = signal.signal(signal.SIGALRM, gpu.out_of_time)
    content = dict(date='', machine='', commit='', command='', started=time.time(), budget_s=60)
    steps = [dict(step=n, title=gpu.STEPS[n].title, status='not run') for n in (1, 2)]
    results = gpu.Results(str(tmp_path), content | dict(steps=steps, rows=[]))
    try:
        gpu.take_step(1, Context(torch.device('cpu'), False, tmp_path), results)
    finally:
        signal.signal(signal.SIGALRM, before)
    written = json.loads((tmp_path / 'gpu.json').read_text())
    assert written == results.content
    first, second = written['steps']
    assert first['status'] == status
    assert reason in first['reason']
    assert second['status'] == 'not run'
    rows = {good: 2, wrong: 1, broken: 1, endless: 0}[step]
    assert len(written['rows']) == rows
    page = (tmp_path / 'gpu.md').read_text()
    assert f'| 1 | {gpu.STEPS[1].title} | {status} |' in page
    assert 'not run' in page
    if step is good:
        assert written['rows'][0]['found'] == 1.235


def test_a_wait_is_counted_where_the_code_is(monkeypatch):
    """A warning of torch comes through the warnings module, whose frames are not what waits."""
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', lambda mode: None)
    text = "warnings.warn('called a synchronizing CUDA operation')"
    code = compile(text, str(ROOT / 'lt_det/models/losses/seesaw.py'), 'exec')

    def step() -> None:
        exec(code, dict(warnings=warnings))
        warnings.warn('something else', stacklevel=2)

    context = SimpleNamespace(on_gpu=True, synchronize=lambda: None)
    assert syncs.waits(context, step) == {'lt_det/models/losses/seesaw.py:1': 1}


@pytest.mark.parametrize('where', ['synchronize', 'free'])
def test_the_other_steps_run_in_a_new_process_where_the_device_is_lost(
    where, monkeypatch, tmp_path, capsys
):
    def lost(context) -> None:
        raise RuntimeError('CUDA error: an illegal memory access was encountered')

    started = []
    # which torch would know to the end of this process: none could be forked and learn any more
    monkeypatch.setattr(mock_gpu, 'MockGpu', lambda: None)
    monkeypatch.setattr(Context, where, lost)
    monkeypatch.setattr(gpu, 'take_step', lambda number, context, results: started.append(number))
    monkeypatch.setattr(gpu.os, 'execv', lambda program, options: started.append(options))
    arguments = ['gpu.py', '--cpu-dry-run', '--steps', '4,8', '--out', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', arguments)
    before = signal.getsignal(signal.SIGALRM)
    try:
        gpu.main()
    finally:
        signal.signal(signal.SIGALRM, before)
    first, again, *_ = started
    assert first == 4
    assert again[again.index('--steps') + 1] == '8'
    assert isinstance(started[-1], int)  # after the last step there is nothing to start


def test_unknown_step(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['gpu.py', '--steps', '1,77'])
    with pytest.raises(SystemExit):
        gpu.parse_args()
    assert 'there is no [77]' in capsys.readouterr().err
