"""Files that are written whole, beside others that are there."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch

from lt_det.cli.common import load_config
from lt_det.errors import BadInputError, MissingFileError, UserError
from lt_det.formats.annotation_cache import load_columns
from lt_det.formats.annotation_columns import read_columns
from lt_det.formats.files import check_writable, looks_like_checkpoint, whole_file
from lt_det.formats.json_file import read_json
from lt_det.formats.list_file import read_list_file
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


@pytest.mark.parametrize('new', [True, False])
def test_a_checkpoint_is_told_from_a_json(new, tmp_path):
    path = tmp_path / 'epoch_4.pth'
    torch.save(dict(a=torch.ones(1)), path, _use_new_zipfile_serialization=new)
    assert looks_like_checkpoint(path)
    for read in (read_json, read_columns):
        with pytest.raises(BadInputError, match=r'epoch_4\.pth looks like a checkpoint, expected'):
            read(path)
    with pytest.raises(BadInputError, match=r'config .*epoch_4\.pth looks like a checkpoint'):
        load_config(Namespace(config=str(path)))
    path.write_text('{"a": }')
    with pytest.raises(BadInputError, match='not a json file: Expecting value'):
        read_json(path)


def test_a_folder_is_said_to_be_one(tmp_path):
    for read in (read_json, read_columns, load_columns, read_list_file):
        with pytest.raises(MissingFileError, match=r' is a folder, expected a '):
            read(tmp_path)
