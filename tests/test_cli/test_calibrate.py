from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from lt_det.cli import calibrate
from lt_det.cli.main import main


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'checkpoint': 'gone.pth'}, 'checkpoint gone.pth does not exist'),
        ({'--held-out': 'gone.json'}, '--held-out gone.json does not exist'),
        ({'--train': 'gone.json'}, '--train gone.json does not exist'),
        ({'--rules': 'folder'}, '--rules folder is a folder, expected a file'),
        ({'--images': 'held.json'}, '--images held.json is no folder'),
        ({'--out': 'held.json'}, 'held.json is a file, expected a folder'),
        ({'--keep': 'APf'}, '--keep has APf, expected METRIC=LOSS as APf=0.005, or none'),
    ],
)
def test_paths_are_looked_for_before_the_config_is_read(
    change, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrate, 'load_config', lambda args: pytest.fail('read'))
    for name in ('mine.py', 'mine.pth', 'held.json'):
        Path(name).touch()
    Path('folder').mkdir()
    assert refused(change, capsys) == f'error: {message}\n'


@pytest.mark.parametrize(
    ('scope', 'change', 'message'),
    [
        ('mmdet', {'--metric': 'macro'}, '--metric is macro, expected one of AP, APr, APc, APf'),
        ('mmpretrain', {'--metric': 'AP'}, '--metric is AP, expected one of macro, many, medium'),
        ('mmdet', {'--keep': 'few=0'}, '--keep is few, expected one of AP, APr, APc, APf'),
        ('mmdet', {'--resamples': '1'}, '--resamples is 1, expected at least 2'),
    ],
)
def test_options_are_known_before_anything_is_built(
    scope, change, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrate, 'load_config', lambda args: Config(dict(default_scope=scope)))
    for name in ('mine.py', 'mine.pth', 'held.json'):
        Path(name).touch()
    assert message in refused(change, capsys)


def refused(change: dict[str, str], capsys) -> str:
    """What is printed where a run ends with an error, of options that are changed."""
    options = {'--held-out': 'held.json', '--out': 'out', **change}
    checkpoint = options.pop('checkpoint', 'mine.pth')
    pairs = [word for pair in options.items() for word in pair]
    with pytest.raises(SystemExit, match='2'):
        main(['calibrate', 'mine.py', checkpoint, *pairs])
    return capsys.readouterr().err


def test_a_refusal_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrate, 'load_config', lambda args: Config(dict(default_scope='mmdet')))
    for name in ('mine.py', 'mine.pth', 'held.json'):
        Path(name).touch()
    refused({'--metric': 'macro'}, capsys)
    assert not Path('out').exists()
