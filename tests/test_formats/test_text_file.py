"""Text files with and without byte order marks, and with the line ends of Windows."""

import json

import pytest

from lt_det.datasets.class_names import load_class_names
from lt_det.datasets.list_file_dataset import ListFileDataset
from lt_det.errors import BadInputError
from lt_det.formats.list_file import line_number, read_list_file
from lt_det.formats.text_file import read_text, read_utf8
from lt_det.formats.word_file import read_vocabulary, read_word_file
from lt_det.frequency import ClassFrequency

ENCODINGS = ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32']


@pytest.fixture(params=[(e, n) for e in ENCODINGS for n in ('\n', '\r\n')], ids=str)
def write(request, tmp_path):
    encoding, newline = request.param

    def written(name: str, text: str):
        path = tmp_path / name
        path.write_bytes(text.replace('\n', newline).encode(encoding))
        return path

    return written


def test_texts(write):
    path = write('a.txt', 'été\nb\n')
    assert read_text(path) == 'été\nb\n'
    assert read_utf8(path).splitlines() == ['été'.encode(), b'b']


def test_class_names(write):
    assert load_class_names(write('a.txt', 'cat\ndog\n\n')) == ['cat', 'dog']
    content = json.dumps([dict(id=1.0, name=5), dict(id=0, name='cat')])
    assert load_class_names(write('a.json', content)) == ['cat', '5']


def test_list_files(write):
    path = write('list.txt', 'é x.png 0\n\ny.png 1\n')
    lines, labels = read_list_file(path)
    assert lines == ['é x.png 0'.encode(), b'y.png 1']
    assert labels.tolist() == [0, 1]
    assert line_number(path, 1) == 3
    assert ClassFrequency.from_annotation_file(path).image_count.tolist() == [1, 1]
    names = write('names.txt', 'cat\ndog\n')
    for arguments in (dict(classes=str(names)), dict(metainfo=dict(classes=str(names)))):
        dataset = ListFileDataset(ann_file=str(path), data_prefix='data', **arguments)
        assert list(dataset.CLASSES) == ['cat', 'dog']
        assert dataset.get_data_info(0)['img_path'] == 'data/é x.png'
    with pytest.raises(BadInputError, match=r'list.txt:3 has label 1, expected 0..0'):
        read_list_file(path, 1)


def test_words(write):
    assert read_vocabulary(write('v.txt', 'rice\nbeef\n')) == ['rice', 'beef']
    path = write('w.txt', 'x.png\trice\ny.png\tbeef\trice\n')
    assert read_word_file(path, ['rice', 'beef']).words == {'x.png': (0,), 'y.png': (0, 1)}


def test_other_encodings(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes('été 0\n'.encode('latin-1'))
    for read in (read_text, load_class_names, read_vocabulary):
        with pytest.raises(BadInputError, match=r'a.txt: not a text in UTF-8'):
            read(path)
    # a path is what the file system says
    dataset = ListFileDataset(ann_file=str(path), num_classes=1)
    assert dataset.get_data_info(0)['img_path'].encode(errors='surrogateescape') == b'\xe9t\xe9'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([dict(id='0', name='a')], r"categories\[0\] has id '0'; expected an integer"),
        ([dict(id=0.5, name='a')], r'categories\[0\] has id 0.5; expected an integer'),
        ([dict(id=0, name=None)], 'category 0 has name null; expected a text'),
        ([dict(id=0, name='a'), dict(id=0, name='b')], 'an id occurs more than once'),
    ],
)
def test_categories_are_checked_as_in_annotation_files(tmp_path, content, message):
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(BadInputError, match=message):
        load_class_names(tmp_path / 'a.json')
