from __future__ import annotations

from types import SimpleNamespace

import pytest

from lt_det.engine import FirstStageHook
from lt_det.errors import MissingFileError


def test_the_command_that_is_named_can_be_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = SimpleNamespace(_has_loaded=False, load_checkpoint=None)

    def said(config: str) -> str:
        with pytest.raises(MissingFileError, match='has no checkpoint') as refused:
            FirstStageHook('work_dirs/a', config).before_train(runner)
        return str(refused.value)

    assert 'lt_det train lt_det::glyphs/a.py; or' in said('configs/glyphs/a.py')
    assert 'lt_det train mine.py --cfg-options "run=[a]"; or' in said(
        'mine.py --cfg-options "run=[a]"'
    )
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/a.py').touch()
    assert 'lt_det train configs/a.py; or' in said('configs/a.py')
