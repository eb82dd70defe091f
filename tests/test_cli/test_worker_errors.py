"""Data workers that end or cannot read an image, as torch hands their errors over."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from lt_det.cli.worker_errors import worker_errors
from lt_det.errors import BadInputError, MissingFileError, UserError


class Items(BaseDataset):
    """One item, which does something when it is loaded."""

    def __init__(self, act) -> None:
        super().__init__(lazy_init=True, pipeline=[lambda item: act()])
        self.data_list, self._fully_initialized, self.serialize_data = [{}], True, False


def unreadable() -> None:
    raise AssertionError('failed to load image: a.png')


def refused() -> None:
    raise BadInputError('label 9\nof a.png')


def load(act, workers: int) -> None:
    for _ in DataLoader(Items(act), num_workers=workers, collate_fn=list):
        pass


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
    ('act', 'kind', 'words'),
    [
        (
            lambda: Path('gone.png').read_bytes(),
            MissingFileError,
            r'cannot be read: .*gone\.png.; to look',
        ),
        (unreadable, BadInputError, r'cannot be read: failed to load image: a\.png; to look'),
        (refused, BadInputError, r'^label 9 of a\.png$'),
    ],
)
def test_an_image_that_cannot_be_read_is_named(act, kind, words, workers):
    with pytest.raises(kind, match=words) as caught, worker_errors():
        load(act, workers)
    assert 'Traceback' not in str(caught.value)


def test_a_worker_that_is_killed():
    with (
        pytest.raises(UserError, match=r'DataLoader worker .*/dev/shm.*num_workers'),
        worker_errors(),
    ):
        load(lambda: os.kill(os.getpid(), signal.SIGKILL), 1)


@pytest.mark.parametrize('kind', [FileNotFoundError, AssertionError, RuntimeError])
def test_other_errors_pass(kind):
    with pytest.raises(kind, match='mine'), worker_errors():
        raise kind('mine')
    with pytest.raises(ZeroDivisionError), worker_errors():
        load(lambda: torch.ones(1).item() / 0, 0)
