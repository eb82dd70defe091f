"""Watching an import, and standing in for a module that does not exist."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from types import ModuleType

import pytest

from lt_det.compat.import_hooks import after_import, stand_in


@pytest.fixture
def name(tmp_path, monkeypatch) -> str:
    """A module that has not been imported; no hook outlives the test."""
    name = 'watched_module'
    (tmp_path / f'{name}.py').write_text('value = 1\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, 'meta_path', list(sys.meta_path))
    yield name
    sys.modules.pop(name, None)


def test_calls_back_after_the_module_has_been_executed(name):
    seen = []
    after_import(name, lambda: seen.append(sys.modules[name].value))
    after_import(name, lambda: seen.append(2))
    assert find_spec(name).loader.get_source(name) == 'value = 1\n'
    assert seen == []  # looked for is not imported
    module = import_module(name)
    assert sorted(seen) == [1, 2]
    assert type(module.__loader__) is type(module.__spec__.loader) is SourceFileLoader
    import_module(name)
    assert len(seen) == 2
    after_import(name, lambda: seen.append(3))
    assert seen[2:] == [3]  # at once


def test_a_module_that_does_not_exist_is_still_not_found(name):
    after_import('no_such_module_of_a_test', lambda: pytest.fail('never imported'))
    assert find_spec('no_such_module_of_a_test') is None
    with pytest.raises(ModuleNotFoundError, match='no_such_module_of_a_test'):
        import_module('no_such_module_of_a_test')


def test_a_stand_in_is_used_where_there_is_no_module(name):
    missing = 'no_such_module_of_a_test'
    made = ModuleType(missing)
    stand_in(missing, lambda: made)
    stand_in(name, lambda: pytest.fail('the module exists'))
    try:
        assert import_module(missing) is made
        assert find_spec(missing) is made.__spec__
    finally:
        sys.modules.pop(missing, None)
    assert import_module(name).value == 1
