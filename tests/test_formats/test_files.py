"""Files that are written whole, beside others that are there."""

from __future__ import annotations

import pytest

from lt_det.errors import UserError
from lt_det.formats.files import check_writable, whole_file
from lt_det.formats.word_file import write_word_file


def test_of_two_writers_the_last_one_stays_whole(tmp_path):
    path = tmp_path / 'a.txt'
    with whole_file(path) as last:
        with whole_file(path) as first:
            last.write_text('last, ')
            first.write_text('first')
        assert path.read_text() == 'first'
        with last.open('a') as file:
            file.write('whole')
    assert path.read_text() == 'last, whole'
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_others_stay(tmp_path):
    (tmp_path / 'a.txt.part').write_text('precious')
    with whole_file(tmp_path / 'a.txt') as part:
        part.write_text('mine')
    assert (tmp_path / 'a.txt.part').read_text() == 'precious'


def test_a_word_file_that_is_not_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / 'words.txt'
    write_word_file(path, [('a.jpg', ['red', 'blue'])])
    with pytest.raises(KeyError):
        write_word_file(path, ((name, {}[name]) for name in 'ab'))
    assert path.read_text() == 'a.jpg\tred\tblue\n'


def test_what_cannot_be_written_is_known_before(tmp_path):
    path = tmp_path / 'deep' / 'a.txt'
    check_writable(path)
    assert path.parent.is_dir() and not any(path.parent.iterdir())
    path.write_text('old')
    check_writable(path)
    assert path.read_text() == 'old'
    for bad in (path / 'b.txt', path.parent):
        with pytest.raises(UserError, match='cannot be written'):
            check_writable(bad)
