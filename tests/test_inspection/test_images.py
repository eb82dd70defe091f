"""What an inspection says of image files is what training and evaluation do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from PIL import Image

from lt_det.datasets import LongTailLVISDataset
from lt_det.errors import MissingFileError, UserError
from lt_det.inspection import inspect_files
from lt_det.inspection.annotations import MIN_SIDE
from lt_det.inspection.kinds import FILE_KINDS
from tests.test_inspection.defects import content_of

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
LOADING = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
]
pytestmark = pytest.mark.filterwarnings('ignore::lt_det.errors.DataWarning')


def save(path: Path, seed: int, size: tuple[int, int] = (100, 80), mode='RGB', **kwargs) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], len(mode))
    pixels = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
    Image.fromarray(pixels, mode).save(path, **kwargs)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images 1 to 4 of training and of validation, all different."""
    for number, file in enumerate(('train', 'val')):
        content = content_of()
        for image in content['images']:
            image['file_name'] = f'{file}/{image["id"]}.png'
            save(tmp_path / image['file_name'], 10 * number + image['id'])
        (tmp_path / f'{file}.json').write_text(json.dumps(content))
    return tmp_path


def change_json(data: Path, change: Callable[[dict], None]) -> None:
    content = json.loads((data / 'train.json').read_bytes())
    change(content)
    (data / 'train.json').write_text(json.dumps(content))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def unnamed_copy(content: dict) -> None:
    """The second image has a name that leads, without its first part, to the first one's file."""
    content['images'][1]['file_name'] = 'elsewhere/train/1.png'
    content['images'][1]['coco_url'] = 'http://host/train/1.png'


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def same_bytes(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


DEFECTS = [
    ('image_missing', 1, lambda d: os.remove(d / 'train/2.png')),
    ('image_broken', 2, lambda d: [cut(d / f'train/{i}.png') for i in (1, 2)]),
    ('image_size', 1, lambda d: save(d / 'train/2.png', 2, (80, 100))),
    ('image_size', 1, lambda d: save(d / 'train/2.png', 2, (100, 81))),
    ('image_size', 1, lambda d: save(d / 'train/2.png', 2, exif=exif(6))),
    ('image_shared', 1, lambda d: change_json(d, unnamed_copy)),
    ('image_turned', 1, lambda d: save(d / 'train/2.png', 2, (80, 100), exif=exif(6))),
    ('image_deep', 1, lambda d: Image.new('I;16', (100, 80), 7).save(d / 'train/2.png')),
    ('image_alpha', 1, lambda d: save(d / 'train/2.png', 2, mode='RGBA')),
    (
        'image_repeated',
        1,
        lambda d: change_json(d, lambda c: c['images'][1].update(file_name='train/1.png')),
    ),
    ('image_same_content', 1, lambda d: same_bytes(d / 'train/1.png', d / 'train/2.png')),
    ('content_in_both', 1, lambda d: same_bytes(d / 'train/1.png', d / 'val/4.png')),
]


@pytest.mark.parametrize(('kind', 'count', 'apply'), DEFECTS)
def test_every_kind_of_image_file(data, kind, count, apply):
    apply(data)
    inspection = inspect_files(data / 'train.json', data / 'val.json', data)
    (found,) = inspection.problems
    assert (found.kind, found.count) == (kind, count)
    for test_mode in (False, True):
        effect = found.evaluation if test_mode else found.training
        options = dict(test_mode=test_mode, pipeline=LOADING, data_prefix=dict(img=str(data)))
        try:
            dataset = LongTailLVISDataset(ann_file=str(data / 'train.json'), **options)
        except UserError as error:
            assert effect.what == 'refused'
            said = found.text.partition('; ')[2] if kind == 'image_missing' else found.text
            assert said in str(error) or str(found.first[0]).split()[0] in str(error)
        else:
            assert effect.what == 'used'
            assert len(dataset) == 4
    refused = found.training.what == 'refused'
    assert inspection.status == int(refused or kind == 'content_in_both')


def test_every_kind_of_an_image_file_is_tested():
    assert {*FILE_KINDS} == {kind for kind, *_ in DEFECTS} - {'image_repeated'}


def test_plain_images_have_no_problem(data):
    inspection = inspect_files(data / 'train.json', data / 'val.json', data)
    assert (inspection.problems, inspection.status) == ([], 0)


def test_images_that_training_leaves_out_need_no_file(data):
    def change(content: dict) -> None:
        content['images'].append(dict(content['images'][0], id=9, file_name='none.png'))

    change_json(data, change)
    kinds = [p.kind for p in inspect_files(data / 'train.json', images=data).problems]
    assert kinds == ['image_empty']
    filters = dict(filter_empty_gt=True, min_size=32)
    LongTailLVISDataset(
        ann_file=str(data / 'train.json'),
        pipeline=LOADING,
        data_prefix=dict(img=str(data)),
        filter_cfg=filters,
    )
    inspection = inspect_files(data / 'val.json', data / 'train.json', data)
    kinds = [problem.kind for problem in inspection.problems]
    assert kinds == ['image_missing', 'image_empty']  # for evaluation looks at them


def test_no_folder(data):
    with pytest.raises(MissingFileError, match='--images is .*none, expected a folder that exists'):
        inspect_files(data / 'train.json', images=data / 'none')
    with pytest.raises(MissingFileError, match='--val-images is .*none, expected a folder that'):
        inspect_files(data / 'train.json', images=data, val_images=data / 'none')


def test_a_folder_for_each_file(data):
    def change(content: dict) -> None:
        for image in content['images']:
            image['file_name'] = image['file_name'].removeprefix('train/')

    change_json(data, change)
    files = data / 'train.json', data / 'val.json'
    assert inspect_files(*files, data / 'train', data).problems == []
    missing = inspect_files(*files, data, data).problems
    assert [(problem.file, problem.kind, problem.count) for problem in missing] == [
        ('train', 'image_missing', 4)
    ]


def load_by_config(data: Path, name: str) -> dict:
    """The first training item of a config."""
    config = Config.fromfile(str(CONFIGS / f'{name}.py')).train_dataloader.dataset
    assert config.filter_cfg == dict(filter_empty_gt=True, min_size=MIN_SIDE)
    config.update(data_root='', ann_file=str(data / 'train.json'), backend_args=None)
    config.update(data_prefix=dict(img=str(data)), _scope_='mmdet')
    return DATASETS.build(config)[0]


@pytest.mark.parametrize('name', ['lvis_v1_instance', 'custom_instance', 'custom_detection'])
def test_what_is_said_of_the_configs(data, name):
    """Which images they leave out, and that boxes are cut to the image."""

    def change(content: dict) -> None:
        content['annotations'][0]['bbox'] = [-20, 60, 500, 40]

    change_json(data, change)
    kinds = [problem.kind for problem in inspect_files(data / 'train.json').problems]
    assert kinds == ['box_beyond']
    item = load_by_config(data, name)
    boxes, shape = item['data_samples'].gt_instances.bboxes, item['data_samples'].img_shape
    x1, y1, x2, y2 = boxes.tensor[0].tolist()
    assert (min(x1, x2), max(x1, x2)) == (0, shape[1])  # flipped or not
    assert y2 == shape[0] > y1 > 0


@pytest.mark.parametrize(
    ('name', 'ignored'),
    [('lvis_v1_instance', 1), ('custom_instance', 0), ('custom_detection', 0)],
)
def test_what_is_said_of_annotations_without_a_mask(data, name, ignored):
    """Its box is learned with the configs of ``lt_det init``, and ignored with those of LVIS."""
    change_json(data, lambda content: content['annotations'][0].pop('segmentation'))
    (found,) = inspect_files(data / 'train.json').problems
    assert (found.kind, found.training.what) == ('mask_missing', 'ignored')
    instances = load_by_config(data, name)['data_samples']
    assert len(instances.ignored_instances) == ignored
    assert len(instances.gt_instances) == 3 - ignored
