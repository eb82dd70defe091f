from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from lt_det.cli import console
from lt_det.cli.console import (
    ConsoleFilter,
    ConsoleFormatter,
    log_errors_in_a_line,
    quiet_loggers,
    show_data_warnings,
)
from lt_det.engine import ConsoleHook, ReportHook
from lt_det.engine.console_hook import ProgressLine, metrics_line
from lt_det.errors import DataWarning

OWN = str(Path(console.__file__).parents[1] / 'engine/report_hook.py')


def record(level: int, message: str, path: str = '/site-packages/mmengine/runner.py', **extra):
    made = logging.LogRecord('mmengine', level, path, 1, message, (), None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    ('made', 'shown'),
    [
        (record(logging.INFO, 'System environment'), False),
        (record(logging.INFO, 'the table', OWN), True),
        (record(logging.INFO, 'for the log', OWN, **console.LOG_ONLY), False),
        (record(logging.WARNING, '"FileClient" will be deprecated in future.'), False),
        (record(logging.WARNING, 'unexpected key in source state_dict: fc.weight'), True),
        (record(logging.ERROR, 'x is deprecated and fails'), True),
    ],
)
def test_what_reaches_the_console(made, shown):
    assert ConsoleFilter().filter(made) is shown


def test_warnings_and_errors_are_called_so():
    formatter = ConsoleFormatter()
    assert formatter.format(record(logging.INFO, 'a', OWN)) == 'a'
    assert formatter.format(record(logging.WARNING, 'b\n\n c')) == 'warning: b c'
    long = formatter.format(record(logging.ERROR, 'word ' * 1000))
    assert long.startswith('error: word word') and long.endswith('(all of it: in the log file)')
    assert len(long) < 400


def test_warnings_of_python(capsys, monkeypatch):
    logged = []
    monkeypatch.setattr(console, '_to_log', logged.append)
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        with show_data_warnings(quiet=True):
            warnings.warn('3 boxes dropped', DataWarning, stacklevel=1)
            warnings.warn('old', FutureWarning, stacklevel=1)
            warnings.warn('no driver', UserWarning, stacklevel=1)
    assert capsys.readouterr().err == 'note: 3 boxes dropped\nwarning: no driver\n'
    assert logged == ['FutureWarning: old']


def test_the_log_file_has_what_the_console_lacks(tmp_path, capsys, monkeypatch):
    from mmengine.logging import MMLogger

    monkeypatch.setattr(MMLogger, '_instance_dict', {})
    monkeypatch.setattr(console, '_for_log', ['Could not import OneDL'])
    with quiet_loggers():
        logger = MMLogger('quiet', log_file=str(tmp_path / 'run.log'))
    loud = MMLogger('loud')
    logger.info('environment')
    logger.warning('a layer is missing')
    loud.info('as always')
    log = (tmp_path / 'run.log').read_text()
    assert all(text in log for text in ('OneDL', 'environment', 'a layer is missing'))
    out = capsys.readouterr().out.splitlines()
    assert out[0] == 'warning: a layer is missing'
    assert len(out) == 2 and out[1].endswith('as always')


def test_progress_without_a_terminal_is_a_line_at_the_end_of_an_interval(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr('lt_det.engine.console_hook.time.monotonic', lambda: now[0])
    assert not sys.stdout.isatty()
    line = ProgressLine('training', total=100, done=20, interval=60)
    for step in range(21, 101):
        now[0] += 2
        if line.is_due(step):
            line.update(step, 'loss 1.000')
    line.close()
    assert capsys.readouterr().out.splitlines() == [
        'training 50/100, loss 1.000, 2.00 s each, 0:01:40 left',
        'training 80/100, loss 1.000, 2.00 s each, 0:00:40 left',
        'training 100/100, loss 1.000, 2.00 s each',
    ]


@pytest.mark.parametrize(
    ('metrics', 'line'),
    [
        ({}, ''),
        (
            {'coco/bbox_AP': 0.25, 'coco/bbox_APr': -1.0, 'coco/bbox_APf': 0.5},
            'bbox AP 0.250  APf 0.500',
        ),
        ({'lvis/bbox_AP': 0.5, 'lvis/segm_AP': 0.25}, 'segm AP 0.250'),
        ({'accuracy/top1': 0.5, 'few': 0.125}, 'top1 0.500  few 0.125'),
    ],
)
def test_metrics_in_a_line(metrics, line):
    assert metrics_line(metrics) == line


@pytest.mark.parametrize('reports', [True, False])
def test_metrics_are_printed_where_no_report_does(reports, capsys):
    hooks = [ReportHook()] if reports else []
    runner = SimpleNamespace(hooks=hooks, iter=8, max_iters=8, epoch=2, max_epochs=2)
    hook = ConsoleHook()
    hook.after_test_epoch(runner, {'coco/bbox_AP': 0.25})
    hook.after_val_epoch(runner, {'coco/bbox_AP': 0.5})
    expected = '' if reports else 'bbox AP 0.250\nepoch 2: bbox AP 0.500\n'
    assert capsys.readouterr().out == expected
    runner.iter = 4
    hook.after_val_epoch(runner, {'coco/bbox_AP': 0.5})
    assert capsys.readouterr().out == 'epoch 2: bbox AP 0.500\n'


def test_a_log_in_a_locale_without_the_characters_has_escapes(tmp_path, capsys):
    handler = logging.FileHandler(tmp_path / 'log', encoding='ascii')
    logger = logging.Logger('a log')
    logger.addHandler(handler)
    with log_errors_in_a_line():
        for text in ('Käse', 'half \udce2', 'plain'):
            logger.info(text)
    handler.close()
    assert (tmp_path / 'log').read_text() == 'K\\xe4se\nhalf \\udce2\nplain\n'
    assert capsys.readouterr().err == ''
