"""Classes of a data set chosen by name."""

import json

import pytest

from lt_det.datasets import LongTailLVISDataset
from lt_det.datasets.class_selection import select_categories
from lt_det.errors import BadInputError

KNOWN = ('cat', 'dog', '7', 'bird')


def test_order_is_that_of_the_names():
    assert select_categories(None, KNOWN, 'a.json') == [0, 1, 2, 3]
    assert select_categories(['bird', 'cat'], KNOWN, 'a.json') == [3, 0]
    assert select_categories(('dog', 7), KNOWN, 'a.json') == [1, 2]


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ('cat', "is 'cat'; expected a list of class names"),
        ([], r'is \[\]; expected a list of class names'),
        ({'cat': 0}, "is {'cat': 0}; expected a list of class names"),
        (['cat', 'dog', 'cat'], "has 'cat' more than once; expected every class once"),
        (['catdog', 'bird'], "has 'catdog', which a.json does not have; is there a comma missing"),
        (['brid'], "has 'brid', which a.json does not have; did you mean 'bird'"),
        (['zebra', 'cat', None], "has 'zebra', None, which a.json does not have$"),
        ([['cat']], r"has \['cat'\], which a.json does not have"),
    ],
)
def test_bad_names_are_refused_by_name(names, message):
    with pytest.raises(BadInputError, match=message) as caught:
        select_categories(names, KNOWN, 'a.json')
    assert str(caught.value).startswith("metainfo['classes'] ")


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_names_of_a_file(tmp_path, encoding):
    content = dict(
        images=[dict(id=1, width=9, height=9, file_name='a.png')],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(KNOWN)],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    (tmp_path / 'names.txt').write_bytes('bird\r\ncat\r\n'.encode(encoding))

    def classes_of(classes):
        return LongTailLVISDataset(
            ann_file=str(tmp_path / 'a.json'),
            metainfo=dict(classes=classes),
            pipeline=[],
            check_images=False,
        ).metainfo['classes']

    assert classes_of(str(tmp_path / 'names.txt')) == ('bird', 'cat')
    with pytest.raises(BadInputError, match="is 'cat'; expected a list"):
        classes_of('cat')
