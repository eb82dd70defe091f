import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from lt_det.datasets.image_check import inspect_images
from lt_det.datasets.image_files import check_image_files, wrong_sizes
from lt_det.datasets.long_tail_lvis import LongTailLVISDataset
from lt_det.errors import BadInputError, DataWarning, MissingFileError
from lt_det.formats.annotation_columns import read_columns

LOAD = dict(type='LoadImageFromFile')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    pixels = np.random.default_rng(0).integers(0, 256, (40, 100, 3), np.uint8)
    image = Image.fromarray(pixels)
    turn = Image.Exif()
    turn[0x0112] = 6
    image.save(folder / 'upright.png')
    image.save(folder / 'turned.jpg', exif=turn)
    image.convert('RGBA').save(folder / 'alpha.png')
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 256).save(folder / 'deep.png')
    (folder / 'cut.jpg').write_bytes((folder / 'turned.jpg').read_bytes()[:-2])
    return folder


def content_of(*images):
    """One object on each image of (file_name, width, height)."""
    return dict(
        images=[
            dict(id=i, file_name=name, width=width, height=height)
            for i, (name, width, height) in enumerate(images, 1)
        ],
        annotations=[
            dict(id=i, image_id=i, category_id=1, bbox=[5, 5, 10, 10], area=100)
            for i in range(1, len(images) + 1)
        ],
        categories=[dict(id=1, name='a')],
    )


def check(folder, *images, **options):
    columns = read_columns(content_of(*images))
    return check_image_files(columns, np.arange(len(images)), str(folder), **options)


UPRIGHT = ('upright.png', 100, 40)
AS_STORED = dict(color_type='color_ignore_orientation')


@pytest.mark.parametrize(
    ('image', 'options', 'words'),
    [
        (('turned.jpg', 100, 40), {}, ['100 x 40 in', '40 x 100 as', 'EXIF orientation 6',
                                       "color_type='color_ignore_orientation'"]),
        (('turned.jpg', 40, 100), AS_STORED, ['40 x 100 in', '100 x 40 as', "color_type='color'"]),
        (('turned.jpg', 80, 40), {}, ['80 x 40 in', 'take the images that were annotated']),
        (('upright.png', 40, 100), {}, ['40 x 100 in', '100 x 40 as', 'if they are exchanged']),
        (('upright.png', 200, 80), {}, ['200 x 80 in', '100 x 40 as', 'scale the json']),
        (('upright.png', 101, 40), {}, ['101 x 40 in', '100 x 40 as']),
    ],
)  # fmt: skip
def test_sizes_that_are_not_those_as_loaded_are_named(folder, image, options, words):
    with pytest.raises(BadInputError) as caught:
        check(folder, UPRIGHT, image, image, **options)
    for word in ['2 of 3 images', f'{folder}/{image[0]}', *words]:
        assert word in str(caught.value)
    assert not check(folder, UPRIGHT, color_type=None)
    columns = read_columns(content_of(UPRIGHT, image, ('cut.jpg', 1, 1)))
    files = inspect_images([folder / 'upright.png', folder / image[0], folder / 'cut.jpg'],
                           **options)  # fmt: skip
    assert wrong_sizes(columns, np.arange(3), files).tolist() == [False, True, False]


def test_right_sizes_pass(folder):
    assert check(folder, UPRIGHT, ('turned.jpg', 40, 100)) == []
    assert check(folder, UPRIGHT, ('turned.jpg', 100, 40), **AS_STORED) == []
    # another loader may turn and resize as it likes
    assert check(folder, UPRIGHT, ('turned.jpg', 100, 40), color_type=None) == []


def test_missing_and_broken_files_are_named_first(folder):
    with pytest.raises(MissingFileError) as caught:
        check(folder, ('turned.jpg', 1, 1), ('x\\gone.png', 1, 1), ('cut.jpg', 1, 1))
    for words in ('1 of 3', 'are missing', f'{folder}/x\\gone.png', f'{folder}/x/gone.png'):
        assert words in str(caught.value)
    with pytest.raises(BadInputError, match=r'1 of 2 .* are broken, .*cut.jpg: is a JPEG that is'):
        check(folder, ('turned.jpg', 1, 1), ('cut.jpg', 1, 1))


def test_what_the_loader_loses_is_said(folder):
    remarks = check(folder, ('deep.png', 100, 40), UPRIGHT, ('alpha.png', 100, 40), UPRIGHT)
    assert [(remark.kind, remark.first) for remark in remarks] == [
        ('image_repeated', [4]), ('image_deep', [1]), ('image_alpha', [3])
    ]  # fmt: skip
    assert len(check(folder, ('deep.png', 100, 40), color_type='unchanged')) == 0


def test_training_and_test_check_with_the_loader_of_their_pipeline(folder, tmp_path):
    init_default_scope('mmdet')
    path = tmp_path / 'x.json'

    def build(content, *pipeline, **more):
        path.write_text(json.dumps(content))
        more.setdefault('data_prefix', dict(img=f'{folder}/'))
        return LongTailLVISDataset(ann_file=str(path), pipeline=list(pipeline), **more)

    stored = content_of(('turned.jpg', 100, 40))
    ignoring = dict(LOAD, **AS_STORED)
    for test_mode in (False, True):
        with pytest.raises(BadInputError, match='40 x 100 as loaded'):
            build(stored, LOAD, test_mode=test_mode)
        nested = dict(type='mmdet.RandomOrder', transforms=[ignoring])
        for loader in (ignoring, dict(LOAD, color_type='unchanged'), nested):
            assert len(build(stored, loader, test_mode=test_mode)) == 1
        assert len(build(stored, LOAD, test_mode=test_mode, check_images=False)) == 1
    assert build(stored, ignoring)[0]['ori_shape'] == (40, 100)
    # nothing to look at: another loader, or files elsewhere
    assert len(build(stored)) == 1
    for remote in (
        dict(backend_args=dict(backend='local')),
        dict(data_prefix=dict(img='s3://bucket/')),
    ):
        assert len(build(stored, LOAD, **remote)) == 1
    elsewhere = dict(LOAD, backend_args=dict(backend='local'))
    assert len(build(stored, elsewhere)) == 1
    with pytest.warns(DataWarning, match=r'x\.json: images with transparency.*1 \(1\)'):
        build(content_of(('alpha.png', 100, 40)), LOAD)
    with warnings.catch_warnings():
        warnings.simplefilter('error', DataWarning)
        item = build(dict(stored, images=[dict(
            id=1, width=100, height=40, file_name='gone.jpg',
            coco_url=f'http://host/{folder.name}/turned.jpg',
        )]), ignoring, data_prefix=dict(img=f'{folder.parent}/'))[0]  # fmt: skip
    assert Path(item['img_path']) == folder / 'turned.jpg'
