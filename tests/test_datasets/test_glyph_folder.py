"""Folders of rendered data: reused, refused, replaced; the command line."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lt_det.datasets.glyphs import SIZES, GlyphFolderError, make_glyphs

from ..scripts import load_script
from .conftest import FEW

CLI = Path(__file__).parents[2] / 'tools' / 'dataset' / 'make_glyphs.py'


TINY = SIZES['tiny']


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of the data set that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / 'copy'))


@pytest.fixture
def small_copy(few, tmp_path):
    return Path(shutil.copytree(few, tmp_path / 'copy'))


@pytest.fixture
def cli(monkeypatch):
    """The command line tool as a function of its arguments."""
    module = load_script(CLI)

    def run(*args):
        monkeypatch.setattr('sys.argv', ['make_glyphs.py', *map(str, args)])
        return module.main()

    return run


def digests(root):
    files = [p for p in sorted(root.rglob('*')) if p.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_unknown_size(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"size must be one of \['bench', 'demo', 'pretrain', 'small', 'tiny'\], got 'huge'",
    ):
        make_glyphs(tmp_path / 'out', 'huge')
    assert not (tmp_path / 'out').exists()


def test_complete_folder_is_reused(copy, capsys):
    before = {p: p.stat().st_mtime_ns for p in copy.rglob('*')}
    assert make_glyphs(copy, 'tiny') == copy
    assert 'reused' in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in copy.rglob('*')} == before


def test_other_recipe_is_refused(copy):
    before = digests(copy)
    with pytest.raises(GlyphFolderError) as error:
        make_glyphs(copy, 'tiny', seed=5, progress=False)
    for part in (str(copy), 'seed: found 0, expected 5', '--overwrite'):
        assert part in str(error.value)
    assert isinstance(error.value, ValueError) and isinstance(error.value, FileExistsError)
    assert digests(copy) == before


IMAGE = 'val/000000000012.png'
DAMAGES = {
    'no json': lambda root: (root / 'annotations' / 'glyphs_val.json').unlink(),
    'cut image': lambda root: (root / IMAGE).write_bytes((root / IMAGE).read_bytes()[:100]),
    'no image': lambda root: (root / IMAGE).unlink(),
    'cut recipe': lambda root: (root / 'recipe.json').write_text('{"recipe":'),
    'no recipe': lambda root: (root / 'recipe.json').unlink(),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_incomplete_folder_is_refused(small_copy, damage):
    DAMAGES[damage](small_copy)
    before = digests(small_copy)
    with pytest.raises(GlyphFolderError, match='--overwrite'):
        make_glyphs(small_copy, FEW, progress=False)
    assert digests(small_copy) == before


@pytest.mark.parametrize(
    'damages', [['cut image', 'cut recipe'], ['no json', 'no image', 'no recipe']]
)
def test_incomplete_folder_is_replaced(small_copy, few, damages):
    for damage in damages:
        DAMAGES[damage](small_copy)
    make_glyphs(small_copy, FEW, progress=False, overwrite=True)
    assert digests(small_copy) == digests(few)


def test_interrupted_run_leaves_no_recipe(tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('lt_det.datasets.glyphs.writer._write_annotations', fail)
    with pytest.raises(KeyboardInterrupt):
        make_glyphs(tmp_path / 'out', FEW, progress=False)
    with pytest.raises(GlyphFolderError, match='no recipe.json'):
        make_glyphs(tmp_path / 'out', FEW, progress=False)


def test_overwrite_keeps_foreign_files(copy):
    foreign = [copy / 'notes.txt', copy / 'train' / 'mine.png', copy / 'annotations' / 'own.json']
    for path in foreign:
        path.write_text('mine')
    make_glyphs(copy, FEW, progress=False, overwrite=True)
    assert all(path.read_text() == 'mine' for path in foreign)
    assert len(list((copy / 'val').iterdir())) == 6


def test_foreign_folder_and_file_are_refused(tmp_path):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'thesis.tex').write_text('mine')
    with pytest.raises(GlyphFolderError, match='not empty and has no recipe.json'):
        make_glyphs(tmp_path / 'folder', 'tiny', progress=False)
    (tmp_path / 'file').write_text('mine')
    for overwrite in (False, True):
        with pytest.raises(GlyphFolderError, match='is a file, expected a folder'):
            make_glyphs(tmp_path / 'file', 'tiny', progress=False, overwrite=overwrite)


def test_cli_reuses_and_reports_errors_in_one_line(copy, cli, capsys):
    assert cli('--size', 'tiny', '--out', copy) == 0
    assert 'reused' in capsys.readouterr().out
    assert cli('--size', 'tiny', '--out', copy, '--seed', 3) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith('error: ') and captured.err.count('\n') == 1
    assert 'Traceback' not in captured.err and str(copy) in captured.err
    assert cli('--size', 'tiny', '--out', copy, '--seed', -3) == 1
    assert cli('--size', 'tiny', '--out', copy, '--workers', 0) == 1
    assert 'workers must be at least 1, got 0' in capsys.readouterr().err


def test_other_size_is_named_and_nothing_more(copy, cli, capsys):
    assert cli('--size', 'demo', '--out', copy) == 1
    assert "(size: found 'tiny', expected 'demo')" in capsys.readouterr().err


def test_impossible_recipe_removes_nothing(copy):
    before = digests(copy)
    with pytest.raises(ValueError, match='no glyph for'):
        make_glyphs(copy, replace(TINY, glyphs='ABCDEFG中'), progress=False, overwrite=True)
    assert digests(copy) == before
