import json

import pytest
from mmpretrain.datasets.categories import CIFAR100_CATEGORIES

from lt_det.datasets.class_names import load_class_names
from lt_det.errors import BadInputError, MissingFileError

from ..conftest import PUBLISHED

PLACES = PUBLISHED / 'Places_LT_train.txt'


def test_lists_and_files(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('snow flake\n ☂ umbrella \nskull\n\n', encoding='utf-8')
    names = ['snow flake', '☂ umbrella', 'skull']
    assert load_class_names(str(path), 3) == load_class_names(path) == names
    assert load_class_names(names, 3) == names
    assert load_class_names(dict(names=str(path), left_out=[1]), 2) == ['snow flake', 'skull']
    rows = [dict(id=1, name='Ajuga reptans', supercategory='Plantae'), dict(id=0, name='Larus')]
    for content in (rows, dict(categories=rows, images=[])):
        (tmp_path / 'categories.json').write_text(json.dumps(content))
        assert load_class_names(tmp_path / 'categories.json', 2) == ['Larus', 'Ajuga reptans']


def test_known_data_sets():
    cifar = load_class_names('cifar100', 100)
    assert cifar == [name.replace('_', ' ') for name in CIFAR100_CATEGORIES]
    assert load_class_names('cifar10', 10)[1] == 'automobile'
    places = load_class_names('places365', 365)
    assert places[:2] == ['airfield', 'airplane cabin'] and places[364] == 'zen garden'


@pytest.mark.skipif(not PLACES.is_file(), reason=f'needs {PLACES}, which is not distributed')
def test_places_names_are_the_folders_of_the_list():
    folders = {}
    for line in PLACES.read_text().splitlines():
        path, label = line.split()
        folders[int(label)] = path.split('/')[1]
    expected = [folders[label].replace('_', ' ').replace('-', ' ') for label in range(365)]
    assert load_class_names('places365') == expected


def test_imagenet_names_are_distinct():
    pytest.importorskip('open_clip', reason="open_clip is the extra 'clip' of lt_det")
    names = load_class_names('imagenet', 1000)
    assert names[0] == 'tench' and names[999] == 'toilet paper'
    assert [names[label] for label in (657, 744, 836, 837)] == [
        *('missile', 'projectile', 'sunglass', 'sunglasses')
    ]


@pytest.mark.parametrize(
    ('content', 'error', 'message'),
    [
        ('a\nb\n', BadInputError, r'names.txt has 2 class names, fewer than num_classes=3'),
        ('a\nb\nc\nd\n', BadInputError, r'has 4 class names, more than num_classes=3'),
        ('a\nb\na\n', BadInputError, r"names.txt: classes 0 and 2 have the same name 'a'"),
        ('a\n\nc\n', BadInputError, r'names.txt: the name of class 1 is empty'),
        (None, MissingFileError, r'names.txt does not exist'),
    ],
)
def test_bad_files(content, error, message, tmp_path):
    path = tmp_path / 'names.txt'
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=message):
        load_class_names(str(path), 3)


def test_bad_json_and_unknown_data_set(tmp_path):
    for content in ('{', '{"a": 1}', '[{"id": 1}]'):
        (tmp_path / 'a.json').write_text(content)
        with pytest.raises(
            BadInputError, match=r'a\.json(: not a json file| is no list of categories)'
        ):
            load_class_names(tmp_path / 'a.json')
    with pytest.raises(MissingFileError, match='cifar-100 .*there are imagenet.*mean cifar100'):
        load_class_names('cifar-100')
