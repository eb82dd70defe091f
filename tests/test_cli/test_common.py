from __future__ import annotations

import gc
from argparse import Namespace

import pytest

from lt_det.cli.common import load_config, rare_collections
from lt_det.errors import BadInputError, MissingFileError


def test_the_line_of_a_config_that_fails_is_named(tmp_path, monkeypatch):
    (tmp_path / 'base.py').write_text('a = 1\nb = nothing\n')
    (tmp_path / 'mine.py').write_text("_base_ = ['base.py']\n")
    (tmp_path / 'imported_part.py').write_text('\n\n1 / 0\n')
    (tmp_path / 'other.py').write_text("custom_imports = dict(imports=['imported_part'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, message in (
        ('mine.py', r'mine\.py cannot be read: NameError in line 2 of .*base\.py: .*nothing'),
        ('other.py', r'ZeroDivisionError in line 3 of .*imported_part\.py: division'),
    ):
        with pytest.raises(BadInputError, match=message):
            load_config(Namespace(config=str(tmp_path / name), cfg_options=None))


@pytest.fixture
def threshold():
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_the_garbage_collector_is_left_as_it_was(tmp_path, threshold):
    with rare_collections():
        assert gc.get_threshold() == (20_000, 10, 10)
    with pytest.raises(MissingFileError):
        load_config(Namespace(config=str(tmp_path / 'none.py')))
    assert gc.get_threshold() == (700, 10, 10)
