from __future__ import annotations

from types import SimpleNamespace

import pytest

from lt_det.engine import FirstStageHook
from lt_det.errors import BadInputError, MissingFileError


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


def test_a_checkpoint_is_a_first_stage_and_every_prefix_drops_something(tmp_path):
    path = tmp_path / 'a.pth'
    path.touch()
    loaded = []

    def load_checkpoint(name, revise_keys):
        loaded.append((name, revise_keys))
        return dict(state_dict={'backbone.w': 0, 'head.fc.weight': 0})

    loop = SimpleNamespace(dataloader=None)
    runner = SimpleNamespace(
        _has_loaded=False,
        _train_loop=loop,
        _resume=False,
        _load_from=None,
        load_checkpoint=load_checkpoint,
    )
    hook = FirstStageHook(str(path), drop=['head.fc'])
    hook.before_run(runner)
    hook.before_train(runner)
    assert loaded == [(str(path), [(r'^head\.fc\b', 'dropped.head.fc')])]
    with pytest.raises(BadInputError, match=r"drop has 'head.fcc', with which .* 'head.fc.weight'"):
        FirstStageHook(str(path), drop=['head.fcc']).before_train(runner)
    with pytest.raises(BadInputError, match="drop is 'head.fc', expected a list"):
        FirstStageHook(str(path), drop='head.fc')
    runner._load_from = 'b.pth'
    with pytest.raises(BadInputError, match='load_from is b.pth, and FirstStageHook.drop'):
        hook.before_run(runner)
    runner._resume = True
    hook.before_run(runner)
