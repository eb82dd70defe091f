import json
import unicodedata

import pytest

from lt_det.errors import BadInputError
from lt_det.formats.annotation_columns import read_columns
from lt_det.formats.image_paths import (
    candidates,
    find_image,
    find_images,
    require_names,
    shared_files,
    tried,
)

COCO = 'http://images.cocodataset.org'
FILES = (
    'train2017/000000000002.jpg',
    'val2017/000000000001.jpg',
    'mine.png',
    'sub/a.png',
    'deep/er/a.png',
    'a b.png',
    'one/same.png',
    'two/same.png',
    unicodedata.normalize('NFD', 'bär.png'),
)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('images')
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def columns_of(*records):
    images = [dict(id=i, width=9, height=9, **record) for i, record in enumerate(records, 1)]
    return read_columns(dict(images=images, annotations=[], categories=[dict(id=1, name='a')]))


@pytest.mark.parametrize(
    ('file_name', 'coco_url', 'folder', 'expected'),
    [
        ('', f'{COCO}/val2017/000000000001.jpg', '', 'val2017/000000000001.jpg'),
        ('', f'{COCO}/val2017/000000000001.jpg', 'val2017/', 'val2017/000000000001.jpg'),
        ('', 'https://h/x/y/sub/a.png?size=3#top', '', 'sub/a.png'),
        ('', 'https://h/a%20b.png', '', 'a b.png'),
        ('', 'https://h/deep/er/a.png', '', 'deep/er/a.png'),
        ('', 'sub/a.png', '', 'sub/a.png'),
        ('', 'sub\\a.png', '', 'sub/a.png'),
        ('', 'file:///other/machine/sub/a.png', '', 'sub/a.png'),
        ('mine.png', f'{COCO}/val2017/000000000001.jpg', '', 'mine.png'),
        ('mine.png', 'http://[not an address', '', 'mine.png'),
        ('gone.png', f'{COCO}/val2017/000000000001.jpg', '', 'val2017/000000000001.jpg'),
        ('COCO_val2014_000000000001.jpg', '', 'val2017', 'val2017/000000000001.jpg'),
        ('COCO_val2014_000000000001.jpg', f'{COCO}/val2017/000000000001.jpg', '', FILES[1]),
        ('sub\\a.png', '', '', 'sub/a.png'),
        ('.\\sub\\a.png', '', '', 'sub/a.png'),
        ('sub/a.png', '', 'sub', 'sub/a.png'),
        ('deep/er/a.png', '', 'deep/er/', 'deep/er/a.png'),
        ('/other/machine/sub/a.png', '', '', 'sub/a.png'),
        ('C:\\data\\sub\\a.png', '', '', 'sub/a.png'),
        ('/sub/a.png', '', '', 'sub/a.png'),
        ('https://host/bucket/sub/a.png?key=1', '', '', 'sub/a.png'),
        ('a%20b.png', '', '', 'a b.png'),
        (unicodedata.normalize('NFC', 'bär.png'), '', '', FILES[-1]),
    ],
)
def test_an_image_is_found_by_either_name(root, file_name, coco_url, folder, expected):
    path = find_image(file_name, coco_url, str(root / folder))
    assert root.joinpath(expected).samefile(path)
    record = dict(file_name=file_name, coco_url=coco_url)
    assert find_images(columns_of(record), str(root / folder)) == [path]


def test_names_are_not_cut_down_to_any_file(root):
    """Only what an absolute path or an address ends with is looked for."""
    for name in ('x/mine.png', 'one/mine.png', 'mine.jpg'):
        assert find_image(name, '', str(root)) == f'{root}/{name}'
    assert find_image('', f'{COCO}/', str(root)) == f'{root}/{COCO}/'
    assert find_image(str(root / 'mine.png'), '', '/nowhere') == str(root / 'mine.png')


def test_nothing_is_looked_for_in_remote_folders():
    assert find_image('a.jpg', f'{COCO}/x/b.jpg', 's3://bucket/x') == 's3://bucket/x/a.jpg'
    assert find_image('', f'{COCO}/x/b.jpg', 's3://bucket') == 's3://bucket/x/b.jpg'


def test_a_link_to_nothing_is_the_file_that_is_meant(tmp_path):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub/link.png').symlink_to('nothing')
    assert find_image('gone.png', 'http://h/sub/link.png', str(tmp_path)).endswith('sub/link.png')


def test_names_of_an_image_travel_through_the_columns(tmp_path):
    names = [('a.png', 'http://h/x/b.png'), ('', 'http://h/ü.png'), ('a\ud800.png', '')]
    records = [dict(file_name=name, coco_url=url) for name, url in names]
    columns = columns_of(*records, dict(file_name='a.png', coco_url=7), dict(coco_url=None))
    assert [columns.image_names(i) for i in range(5)] == [*names, ('a.png', ''), ('', '')]
    assert columns.nameless().tolist() == [False] * 4 + [True]
    assert columns.path(0) == 'a.png'
    with pytest.raises(BadInputError, match='image 5 has no coco_url or file_name'):
        require_names(columns)
    path = tmp_path / 'x.json'
    content = dict(
        images=[dict(id=1, width=9, height=9, **records[0])], annotations=[], categories=[]
    )
    path.write_text(json.dumps(content))
    assert read_columns(path).image_names(0) == names[0]


def test_tried_paths_are_named_once_each():
    assert tried('a.png', 'http://h/x/a.png', 'data') == 'data/a.png, data/x/a.png'
    assert next(candidates('COCO_val2014_000000000001.jpg', f'{COCO}/x/1.jpg', 'd')) == 'd/x/1.jpg'
    paths = list(candidates('', 'http://h/x/y/z.png', 'data'))
    assert paths[:2] == ['data/x/y/z.png', 'data/y/z.png']


def shared(root, *records):
    columns = columns_of(*records)
    images = columns.arrays['image_id'] - 1
    return shared_files(columns, images, find_images(columns, str(root)), str(root))


def test_images_with_other_names_in_one_file_are_refused(root):
    for one, two in (
        (dict(coco_url='http://h/a/sub/a.png'), dict(coco_url='http://h/b/sub/a.png')),
        (dict(coco_url='http://h/sub/a.png'), dict(coco_url='http://other/sub/a.png')),
        (dict(file_name='/there/mine.png'), dict(file_name='/elsewhere/mine.png')),
    ):
        with pytest.raises(BadInputError, match=r'images 2 and 3 are both found at .*differ'):
            shared(root, dict(file_name='one/same.png'), one, two)


def test_repeated_images_are_counted(root):
    assert not shared(root, dict(file_name='one/same.png'), dict(file_name='two/same.png'))
    repeated = [dict(file_name=name) for name in ('sub/a.png', './sub/a.png', 'sub\\a.png')]
    (remark,) = shared(root, *repeated, dict(file_name='mine.png'))
    assert remark.count == 2 and remark.first == [2, 3]
