from __future__ import annotations

import gc
from argparse import ArgumentParser, Namespace
from pickle import UnpicklingError

import pytest
from mmengine.config import Config

from lt_det.cli import common, test, train
from lt_det.cli.common import KeyValueAction, build_runner, load_config, rare_collections
from lt_det.cli.main import main
from lt_det.errors import BadInputError, MissingFileError, UserError


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


@pytest.mark.parametrize(
    ('folder', 'words'),
    [
        ('a.txt', 'a.txt is a file, expected a folder'),
        ('a.txt/x', 'a.txt/x cannot be written: Not a directory'),
        ('/proc/x', '/proc/x cannot be written: '),
    ],
)
def test_a_work_dir_that_cannot_be_made_is_named(folder, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.txt').touch()
    with pytest.raises(UserError, match=f'work dir {words}.*; --work-dir names another'):
        build_runner(Config(dict(work_dir=folder)), Namespace())


@pytest.mark.parametrize('out', ['a.txt/b.pkl', 'folder.pkl', '/proc/b.pkl'])
def test_predictions_that_cannot_be_written_are_refused_before_the_test(
    out, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.txt').touch()
    (tmp_path / 'folder.pkl').mkdir()
    (tmp_path / 'mine.py').write_text('model = dict()\n')
    monkeypatch.setattr(test, 'build_runner', lambda *_: pytest.fail('it was built'))
    with pytest.raises(SystemExit):
        main(['test', 'mine.py', 'a.pth', '--out', out])
    assert capsys.readouterr().err.startswith(f'error: {out} cannot be written: ')


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('KEY', "'KEY', expected KEY=VALUE"),
        ('a=[(1]', 'Imbalanced brackets'),
        ("a=[dict(b=1,c='x'),dict(b=2,c='y')]", 'key by key'),
    ],
)
def test_an_option_without_a_value_is_named(option, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(['train', 'a.py', '--cfg-options', option])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith('lt_det train: error: argument --cfg-options: ') and words in said


def test_a_path_keeps_its_spaces():
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=KeyValueAction)
    text = ['load_from=my folder/a b.pth', 'a="x y"', 'b=[1, 2 , c d]', 'c= 3', 'd=1, 2', 'e=']
    assert parser.parse_args(['--cfg-options', *text]).cfg_options == dict(
        load_from='my folder/a b.pth', a='x y', b=[1, 2, 'cd'], c=3, d=[1, 2], e=''
    )


def test_options_for_a_hook_that_an_option_asks_for(tmp_path):
    (tmp_path / 'mine.py').write_text(
        "model = dict(type='DINO')\ncustom_hooks = [dict(type='A')]\n"
    )
    options = {'model.type': 'LongTail', 'custom_hooks.1.empty_classes': 'warn'}
    args = Namespace(config=str(tmp_path / 'mine.py'), cfg_options=options)
    hooks = load_config(args).custom_hooks
    assert hooks == [dict(type='A'), dict(type='ClassFrequencyHook', empty_classes='warn')]
    args.cfg_options = {'test_evaluator': "{'type':'x'}"}
    with pytest.raises(BadInputError, match='test_evaluator is .*, expected a list'):
        load_config(args)


def test_an_interruption_is_one_line(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, 'build_runner', interrupt)
    (tmp_path / 'mine.py').write_text('model = dict()\n')
    with pytest.raises(SystemExit) as ended:
        main(['train', str(tmp_path / 'mine.py')])
    assert ended.value.code == 130
    assert capsys.readouterr().err == 'interrupted; go on with --resume\n'


def test_a_grammar_that_another_process_writes_is_waited_for(monkeypatch):
    calls = [EOFError('Ran out of input'), UnpicklingError('truncated'), None]

    def import_module(name: str) -> None:
        if (error := calls.pop(0)) is not None:
            raise error

    monkeypatch.setattr(common, 'import_module', import_module)
    monkeypatch.setattr(common, 'sleep', lambda seconds: None)
    common.load_formatter()
    assert not calls
    calls += 4 * [EOFError('Ran out of input')]
    with pytest.raises(EOFError):
        common.load_formatter()
