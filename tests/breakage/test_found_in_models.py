"""Checkpoints, configs and what the machine refuses: what campaigns found, each as its kind."""

from __future__ import annotations

import errno
import logging
import os
import zipfile
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from lt_det.cli.common import add_statistics, load_config
from lt_det.compat.checkpoint import check_whole, restrict_checkpoint_loading
from lt_det.engine.checkpoint_hook import latest_checkpoint
from lt_det.errors import BadInputError, MissingFileError, UserError

from . import files


@pytest.mark.parametrize('kind', [BadInputError, MissingFileError, UserError])
def test_a_message_is_one_line_of_bounded_length(kind):
    assert str(kind('a\n  b\u2028c  d')) == 'a b c  d'
    message = str(kind('begin' + 'x' * 10**5 + 'end'))
    assert len(message) < 1000
    assert message.startswith('beginx') and message.endswith('xend')


def test_a_config_without_a_model():
    cfg = Config(dict(model=None))
    add_statistics(cfg, None)
    assert cfg.to_dict() == {'model': None}


@pytest.mark.parametrize('content', [b'\xff\xfe', b'9' * 5000, b'/' * 100_000, b'a\0b', b''])
def test_a_last_checkpoint_that_names_no_file(content, tmp_path):
    (tmp_path / 'epoch_2.pth').write_bytes(files.torch_bytes({'a': 1}))
    (tmp_path / 'last_checkpoint').write_bytes(content)
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_2.pth')


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    restrict_checkpoint_loading()
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'w': torch.arange(1000.0)}}, path)
    return path


def test_a_weight_of_which_a_bit_has_changed(checkpoint):
    with zipfile.ZipFile(checkpoint) as archive:
        start = archive.getinfo('a/data/0').header_offset
    data = bytearray(checkpoint.read_bytes())
    place = data.index(torch.arange(1000.0).numpy().tobytes(), start) + 2000
    data[place] ^= 64
    checkpoint.write_bytes(data)
    read = torch.load(checkpoint, weights_only=True)['state_dict']['w']
    assert not torch.equal(read, torch.arange(1000.0))  # torch itself does not see it
    with pytest.raises(BadInputError, match=r'a\.pth cannot be read: .*a/data/0'):
        CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')


def test_files_without_checksums_are_read(checkpoint):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({'w': torch.ones(3)}, checkpoint)
    finally:
        torch.serialization.set_crc32_options(before)
    check_whole(checkpoint)
    torch.save({'w': torch.ones(3)}, checkpoint, _use_new_zipfile_serialization=False)
    check_whole(checkpoint)
    assert CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')['w'].sum() == 3


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = (', 'SyntaxError'),
        ('a = b', r"NameError in line 1 of .*mine\.py: name 'b' is not defined"),
        ('1 / 0', 'ZeroDivisionError'),
        ('_base_ = 3', 'cannot be read'),
        ('custom_hooks = 99', 'custom_hooks is 99, expected a list'),
        ('custom_hooks = [{}, "x"]', "custom_hooks.1 is 'x', expected a dict"),
        ('val_evaluator = [3]', 'val_evaluator.0 is 3, expected a dict'),
        ('model = []', r'model is \[\], expected a dict'),
        ('train_dataloader = "x"', "train_dataloader is 'x', expected a dict"),
    ],
)
def test_a_config_that_cannot_be_read(text, message, tmp_path):
    (tmp_path / 'mine.py').write_text(text)
    with pytest.raises(BadInputError, match=rf'config .*mine\.py.*{message}'):
        load_config(Namespace(config=str(tmp_path / 'mine.py'), cfg_options=None))


@pytest.mark.parametrize('write', ['text', 'classes'])
def test_what_is_written_takes_its_place_at_once(write, tmp_path, monkeypatch):
    """On a disk without space the old file stays, and one line says why."""
    from lt_det.evaluation.per_class import write_per_class
    from lt_det.formats.files import write_text

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / 'a.csv'
    path.write_text('old')
    monkeypatch.setattr(Path, 'open', refuse)
    monkeypatch.setattr(Path, 'write_text', refuse)
    with pytest.raises(UserError, match=r'a\.csv cannot be written: No space left'):
        write_text(path, 'new') if write == 'text' else write_per_class([{'a': 1}], path)
    monkeypatch.undo()
    assert path.read_text() == 'old'


@pytest.mark.parametrize('number', ['nan', 'inf', '1e39'])
def test_a_word_vector_that_is_not_finite_is_no_missing_word(number, tmp_path):
    from lt_det.models.layers.word_vectors import read_word_vectors

    (tmp_path / 'v.txt').write_text(f'a 1 2\nb 1 {number}\n')
    assert read_word_vectors(str(tmp_path / 'v.txt'), ['a'], 2).tolist() == [[1, 2]]
    with pytest.raises(BadInputError, match=r'v\.txt:2 has a number that is not finite'):
        read_word_vectors(str(tmp_path / 'v.txt'), ['a', 'b'], 2)


@pytest.mark.parametrize('name', ['ENOSPC', 'EROFS', 'EMFILE', 'EEXIST', 'ENOTDIR', 'EISDIR'])
def test_what_the_machine_refuses_is_one_line(name, capsys):
    from lt_det.cli.common import user_errors

    number = getattr(errno, name)
    with pytest.raises(SystemExit) as caught, user_errors():
        raise OSError(number, os.strerror(number), 'a/b.pth')
    assert caught.value.code == 2
    assert capsys.readouterr().err == f'error: a/b.pth: {os.strerror(number)}\n'
    with pytest.raises(OSError, match='a fault of ours'), user_errors():
        raise OSError(errno.EBADF, 'a fault of ours')


def test_a_log_that_cannot_be_written_is_one_line(capsys):
    from lt_det.cli.common import user_errors

    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, 'No space left on device')

        def flush(self):
            pass

    logger = logging.Logger('full')
    logger.addHandler(logging.StreamHandler(Full()))
    with user_errors():
        logger.error('one')
        logger.error('two')
    assert capsys.readouterr().err == (
        'warning: the log cannot be written: No space left on device\n'
    )
