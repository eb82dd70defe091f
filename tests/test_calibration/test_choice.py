"""choice.json: written whole, read back equal, refused by key and value."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from lt_det.calibration.choice import Choice, HeadMap, read_choice
from lt_det.errors import BadInputError, MissingFileError, UserError
from lt_det.formats.files import sha256, whole_file


def make_choice(**changes) -> Choice:
    head = HeadMap(
        'bbox_head', 'softmax', 1, ['bbox_head.fc_cls'], [1.0, 2.0, 1.0], [0.5, 0.0, 0.0]
    )
    values = dict(
        kind='detector',
        fold=True,
        reason='APr +2.0',
        setting=dict(
            name='NorCal(gamma=0.5)', rules=[dict(type='NorCal', gamma=0.5, stage='test')]
        ),
        classes=['cat', 'dög'],
        heads=[head],
        image_count=[3, 4],
        instance_count=[5, 6],
        num_images=7,
        metric='AP',
        keep={'APf': 0.005},
        selection={'gain': 0.02},
        config='a.py',
        checkpoint='a.pth',
        sha256=dict(config='0', checkpoint='1', held_out='2', train=None),
    )
    return Choice(**{**values, **changes})


def test_what_was_written_is_read(tmp_path):
    choice = make_choice()
    choice.write(tmp_path / 'new' / 'choice.json')
    assert read_choice(tmp_path / 'new' / 'choice.json') == choice
    assert choice.num_classes == 2
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['choice.json']


def test_tensors_arrays_and_nan(tmp_path):
    """A float32 keeps its value; what is not a number is null in the selection alone."""
    scale = torch.tensor([0.1, 1 / 3, 1.0])
    head = HeadMap('head', 'sigmoid', 1, ['head.fc'], scale, np.zeros(3, np.float32))
    gains = dict(APr=float('nan'), APf=np.float64(0.5), best=np.int64(3), fold=np.bool_(True))
    make_choice(
        heads=[head], image_count=np.array([1, 2]), selection=gains, fold=np.bool_(True)
    ).write(tmp_path / 'choice.json')
    read = read_choice(tmp_path / 'choice.json')
    assert torch.equal(torch.tensor(read.heads[0].scale), scale)
    assert read.image_count == [1, 2] and read.fold is True
    assert read.selection == dict(APr=None, APf=0.5, best=3, fold=True)


def test_not_affine(tmp_path):
    head = HeadMap('head', 'sigmoid', 0, ['head.fc'], not_affine='FRACAL multiplies scores')
    make_choice(heads=[head], fold=False).write(tmp_path / 'choice.json')
    assert read_choice(tmp_path / 'choice.json').heads == [head]


def test_later_keys_are_ignored(tmp_path):
    path = tmp_path / 'choice.json'
    make_choice().write(path)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, 'new': 1}))
    assert read_choice(path) == make_choice()


def test_what_is_for_people_alone_may_be_missing(tmp_path):
    path = tmp_path / 'choice.json'
    choice = make_choice(iou_type='segm', per_class={'group': ['APr', 'APf'], 'images': [1, 2]})
    choice.write(path)
    assert read_choice(path) == choice
    record = json.loads(path.read_text())
    del record['iou_type'], record['per_class']
    path.write_text(json.dumps(record))
    assert read_choice(path) == make_choice()


BAD = [
    (('format',), 2, 'format is 2, expected 1'),
    (('kind',), 'segmentor', "kind is 'segmentor', expected one of detector, classifier"),
    (('fold',), 'yes', "fold is 'yes', expected a bool"),
    (('num_classes',), 3, 'num_classes is 3'),
    (('heads',), [], 'heads is'),
    (('image_count',), [1], 'length of image_count is 1, expected 2'),
    (('instance_count',), [1, 'x'], r"instance_count\[1\] is 'x', expected a finite number"),
    (('per_class',), {'images': 3}, r"per_class is {'images': 3}, expected a dict of lists"),
    (('per_class',), {'images': [3]}, r'length of per_class.images is 1, expected 2'),
    (('heads', 0, 'activation'), 'relu', r"heads\[0\].activation is 'relu'"),
    (('heads', 0, 'num_extra'), -1, r'heads\[0\].num_extra is -1'),
    (('heads', 0, 'layers'), [], r'heads\[0\].layers is \[\]'),
    (('heads', 0, 'scale'), [1, 2], r'length of heads\[0\].scale is 2, expected 3'),
    (('heads', 0, 'shift'), None, r'heads\[0\].shift is None'),
    (('heads', 0, 'shift'), [0, None, 0], r'heads\[0\].shift\[1\] is None'),
    (('heads', 0, 'not_affine'), 'why', r'heads\[0\].scale is'),
    (('setting',), {}, 'there is no setting.name'),
    (('sha256',), {'config': ''}, 'there is no sha256.checkpoint'),
]


@pytest.mark.parametrize(('keys', 'value', 'message'), BAD)
def test_bad_values_are_named(tmp_path, keys, value, message):
    path = tmp_path / 'choice.json'
    make_choice().write(path)
    record = json.loads(path.read_text())
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(record))
    with pytest.raises(BadInputError, match=message) as error:
        read_choice(path)
    assert str(error.value).startswith(str(path)) and '\n' not in str(error.value)


@pytest.mark.parametrize('key', ['reason', 'heads', 'image_count', 'num_classes', 'sha256'])
def test_missing_keys_are_named(tmp_path, key):
    path = tmp_path / 'choice.json'
    make_choice().write(path)
    record = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps(record))
    with pytest.raises(BadInputError, match=f'there is no {key}'):
        read_choice(path)


def test_files_that_are_no_choice(tmp_path):
    with pytest.raises(MissingFileError, match='lt_det calibrate'):
        read_choice(tmp_path / 'none.json')
    with pytest.raises(MissingFileError):
        read_choice(tmp_path)
    for text, message in (('{', 'not a json file'), ('[]', 'format is list'), ('', 'not a json')):
        (tmp_path / 'bad.json').write_text(text)
        with pytest.raises(BadInputError, match=message):
            read_choice(tmp_path / 'bad.json')


def test_a_bad_choice_is_not_written(tmp_path):
    path = tmp_path / 'choice.json'
    make_choice().write(path)
    before = path.read_bytes()
    head = HeadMap('head', 'softmax', 1, ['head.fc'], [1.0, float('inf'), 1.0], [0.0] * 3)
    with pytest.raises(BadInputError, match=r'heads\[0\].scale\[1\]'):
        make_choice(heads=[head]).write(path)
    assert path.read_bytes() == before


def test_a_file_is_whole_or_as_before(tmp_path):
    path = tmp_path / 'file'
    path.write_text('before')
    with pytest.raises(UserError, match=r'file cannot be written: No space left'):  # noqa: SIM117
        with whole_file(path) as part:
            part.write_text('half')
            raise OSError(28, 'No space left on device')
    with pytest.raises(KeyboardInterrupt), whole_file(path) as part:
        part.write_text('half')
        raise KeyboardInterrupt
    assert path.read_text() == 'before' and list(tmp_path.iterdir()) == [path]
    with whole_file(path) as part:
        part.write_text('after')
    assert path.read_text() == 'after' and list(tmp_path.iterdir()) == [path]


def test_sha256(tmp_path):
    content = bytes(range(256)) * 10000
    (tmp_path / 'file').write_bytes(content)
    assert sha256(tmp_path / 'file') == hashlib.sha256(content).hexdigest()
    with pytest.raises(MissingFileError, match='none'):
        sha256(tmp_path / 'none')
