import datetime
import os
import re
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from lt_det.compat.checkpoint import restrict_checkpoint_loading
from lt_det.errors import BadInputError, MissingFileError


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture(autouse=True)
def restore_schemes(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


def test_what_mmengine_saves_is_read(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    saved = dict(
        state_dict=dict(w=torch.ones(2)),
        message_hub=dict(log_scalars=dict(loss=history), runtime_info=dict(iter=np.int64(3))),
    )
    torch.save(saved, tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    loaded = load(tmp_path / 'a.pth')
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert torch.equal(loaded['state_dict']['w'], torch.ones(2))


PLAIN = [
    *(np.dtype(kind).type(1) for kind in '?bBhHiIlLefdFD'),
    np.str_('word'),
    np.arange(3, dtype=np.uint8),
    np.array(['a', 'bc']),
]


@pytest.mark.parametrize('value', PLAIN, ids=lambda value: value.dtype.name + str(value.ndim))
def test_plain_numbers_and_text_of_numpy_are_read(value, tmp_path):
    torch.save(dict(message_hub=dict(runtime_info=dict(mine=value))), tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    loaded = load(tmp_path / 'a.pth')['message_hub']['runtime_info']['mine']
    assert loaded.dtype == value.dtype and np.array_equal(loaded, value)


VALUES = [
    {1, 2},
    frozenset([1]),
    {'a': [1, (2, 3)]},
    range(3),
    slice(1, 2),
    Counter('ab'),
    OrderedDict(a=1),
    defaultdict(int, a=1),
    defaultdict(None, a=1),
    ConfigDict(a=dict(b=[1, 2])),  # metainfo of a config
    Path('/a/b'),
    PurePosixPath('/a'),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    datetime.timedelta(1),
]


@pytest.mark.parametrize('value', VALUES, ids=lambda value: type(value).__name__)
def test_values_of_python_are_read(value, tmp_path):
    saved = dict(dataset_meta=value, message_hub=dict(runtime_info=dict(mine=[(value,)])))
    torch.save(saved, tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    loaded = load(tmp_path / 'a.pth')
    assert loaded == saved
    ((mine,),) = loaded['message_hub']['runtime_info']['mine']
    assert type(mine) is type(value)
    assert mine is loaded['dataset_meta'], 'one value has become two'
    if isinstance(value, defaultdict):
        assert mine.default_factory is value.default_factory


def test_a_default_that_runs_code_is_refused(tmp_path):
    torch.save(dict(mine=defaultdict(os.getcwd)), tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    with pytest.raises(BadInputError, match='getcwd'):
        load(tmp_path / 'a.pth')


def test_a_value_that_holds_itself(tmp_path):
    own = defaultdict(list)
    own['again'] = [own]
    torch.save(dict(own=own), tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    loaded = load(tmp_path / 'a.pth')['own']
    assert type(loaded) is defaultdict and loaded['again'][0] is loaded


@pytest.mark.parametrize(
    ('value', 'kind'),
    [
        (np.array([1, 'a'], dtype=object), 'Object'),
        (np.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')]), 'Void'),
    ],
)
def test_other_arrays_are_refused_with_their_type(value, kind, tmp_path):
    torch.save(dict(state_dict={}, mine=value), tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    with pytest.raises(BadInputError, match=f'{kind}DType.*--trust-checkpoint'):
        load(tmp_path / 'a.pth')


@pytest.mark.parametrize('package', ['core', '_core'])
def test_numbers_written_by_numpy_1_and_2(tmp_path, package):
    saved = dict(mean=np.float64(3), history=np.arange(3.0), epoch=np.int64(2), state_dict={})
    torch.save(saved, tmp_path / 'here.pth')
    path = tmp_path / 'a.pth'
    with zipfile.ZipFile(tmp_path / 'here.pth') as here, zipfile.ZipFile(path, 'w') as there:
        for name in here.namelist():
            text = re.sub(rb'numpy\._?core\.', f'numpy.{package}.'.encode(), here.read(name))
            there.writestr(name, text)
    restrict_checkpoint_loading()
    loaded = load(path)
    assert (loaded['mean'], loaded['epoch']) == (3, 2)
    assert loaded['history'].tolist() == [0, 1, 2]


def test_importing_is_enough_for_files_of_mmengine(tmp_path):
    """As ``init_cfg=dict(type='Pretrained')`` of MMEngine 0.10.7 reads with torch >= 2.6."""
    torch.save(dict(log=HistoryBuffer([1.0, 3.0], [1, 1])), tmp_path / 'a.pth')
    assert torch.load(tmp_path / 'a.pth', weights_only=True)['log'].mean() == 2


def test_only_histories_give_their_attributes(tmp_path):
    class Attribute:
        def __reduce__(self):
            return getattr, (np.ndarray, 'tofile')

    torch.save(dict(state_dict={}, method=Attribute()), tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    with pytest.raises(BadInputError, match=r"getattr\(.*, 'tofile'\) is not allowed"):
        load(tmp_path / 'a.pth')


def test_code_in_a_checkpoint_runs_only_when_trusted(tmp_path):
    marker = tmp_path / 'executed'
    torch.save(dict(state_dict={}, payload=Payload(str(marker))), tmp_path / 'a.pth')
    restrict_checkpoint_loading()
    with pytest.raises(BadInputError, match=r'a\.pth cannot be read: .*mkdir.*--trust-checkpoint'):
        load(tmp_path / 'a.pth')
    assert not marker.exists()
    restrict_checkpoint_loading(trust=True)
    load(tmp_path / 'a.pth')
    assert marker.exists()


def test_missing_and_cut_off_files(tmp_path):
    restrict_checkpoint_loading()
    with pytest.raises(MissingFileError, match=r'none\.pth does not exist'):
        load(tmp_path / 'none.pth')
    (tmp_path / 'text.pth').write_text('hello')
    with pytest.raises(BadInputError, match=r'text\.pth cannot be read: .*that torch.save wrote'):
        load(tmp_path / 'text.pth')
    (tmp_path / 'a.json').write_text('{"images": [{"id": 123}]}')
    with pytest.raises(BadInputError, match='it does not begin as one') as refused:
        load(tmp_path / 'a.json')
    assert '--trust' not in str(refused.value)
    with pytest.raises(MissingFileError, match=r' is a folder, expected a file'):
        load(tmp_path)
    torch.save(dict(state_dict=dict(w=torch.ones(1000))), tmp_path / 'a.pth')
    (tmp_path / 'a.pth').write_bytes((tmp_path / 'a.pth').read_bytes()[:900])
    with pytest.raises(BadInputError, match=r'a\.pth cannot be read'):
        load(tmp_path / 'a.pth')


@pytest.mark.parametrize(
    ('content', 'kind'),
    [([1, 2], 'list'), (dict(state_dict=None, meta={}), 'NoneType'), ({0: torch.ones(1)}, 'dict')],
)
def test_a_file_without_weights_by_name(content, kind, tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(content, path)
    restrict_checkpoint_loading()
    with pytest.raises(BadInputError, match=f'a.pth holds no weights by name, but a {kind}'):
        CheckpointLoader.load_checkpoint(str(path))
