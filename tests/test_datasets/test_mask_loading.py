"""Masks of the annotations, looked at before the first item where the pipeline loads them."""

import json
import warnings

import numpy as np
import pytest
from mmdet.datasets import LVISV1Dataset
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from lt_det.datasets import LongTailLVISDataset
from lt_det.datasets.mask_loading import mask_loaders
from lt_det.errors import BadInputError, DataWarning

from ..test_formats.test_annotation_defects import changed, content_of
from ..test_formats.test_annotation_masks import CODE, GOOD, MALFORMED_MASKS, NO_MASKS, PLANE, RUNS

COMPACT = dict(type='LoadCompactAnnotations', with_bbox=True, with_mask=True)
STOCK = dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)
BOXES = dict(type='mmdet.LoadAnnotations', with_bbox=True)
NESTED = dict(type='RandomApply', prob=1.0, transforms=[STOCK])
MASKS_OF = 'annotations without a mask (missing, null or empty), ignored because'


class Blank:
    """An image in place of a file."""

    def __call__(self, results: dict) -> dict:
        shape = results['height'], results['width']
        return {**results, 'img': np.zeros((*shape, 3), np.uint8), 'img_shape': shape} | {
            'ori_shape': shape
        }


def dataset_of(path, content: dict, *pipeline: dict, **kwargs) -> LongTailLVISDataset:
    init_default_scope('mmdet')
    file = path / 'a.json'
    file.write_text(json.dumps(content))
    return LongTailLVISDataset(
        ann_file=str(file), pipeline=[Blank(), *pipeline], check_images=False, **kwargs
    )


@pytest.mark.parametrize('name', MALFORMED_MASKS)
@pytest.mark.parametrize('test_mode', [False, True])
def test_malformed_masks_are_refused_at_start(tmp_path, name, test_mode):
    segmentation, message = MALFORMED_MASKS[name]
    content = changed('annotations', segmentation=segmentation)
    with pytest.raises(BadInputError) as caught:
        dataset_of(tmp_path, content, COMPACT, test_mode=test_mode)
    assert 'a.json: annotation 2: ' in str(caught.value)
    assert message in str(caught.value)
    assert str(caught.value).endswith('(1 of 6 masks are malformed)')
    dataset = dataset_of(tmp_path, content, BOXES, test_mode=test_mode)  # not looked at
    assert len(dataset[0]['gt_bboxes']) == 2


def test_masks_that_are_never_drawn_are_not_refused(tmp_path):
    content = changed('annotations', segmentation=[[1, 2]])
    assert len(dataset_of(tmp_path, content, COMPACT, metainfo=dict(classes=('a',)))) == 3
    content['annotations'][1]['area'] = 0
    with pytest.warns(DataWarning, match='an area that is not positive'):
        assert len(dataset_of(tmp_path, content, COMPACT)[0]['gt_bboxes']) == 1


@pytest.mark.parametrize('loading', [COMPACT, STOCK, {**COMPACT, 'poly2mask': False}, NESTED])
@pytest.mark.parametrize('name', NO_MASKS)
def test_instances_without_a_mask_are_ignored(tmp_path, loading, name):
    content = changed('annotations', segmentation=NO_MASKS[name])
    with pytest.warns(DataWarning, match=MASKS_OF.replace('(', '.').replace(')', '.')) as caught:
        dataset = dataset_of(tmp_path, content, loading)
    assert len(caught) == 1
    assert str(caught[0].message).endswith('learns their boxes: 1 (2)')
    item = dataset[0]
    assert item['gt_ignore_flags'].tolist() == [False, True]
    assert item['gt_masks'].areas[0] > 500 > 1 >= item['gt_masks'].areas[1]


@pytest.mark.parametrize('name', NO_MASKS)
def test_boxes_of_instances_without_a_mask_are_learned_on_request(tmp_path, name):
    content = changed('annotations', segmentation=NO_MASKS[name])
    boxes = {**COMPACT, 'maskless': 'box'}
    pipeline = [boxes, dict(type='mmdet.RandomFlip', prob=1.0), dict(type='mmdet.PackDetInputs')]
    with pytest.warns(DataWarning, match=r'without a mask .* the box alone is learned: 1 \(2\)'):
        dataset = dataset_of(tmp_path, content, *pipeline)
    sample = dataset[0]['data_samples']
    assert len(sample.gt_instances) == 2 and not len(sample.ignored_instances)
    assert sample.gt_instances.masks.maskless.tolist() == [False, True]
    content['annotations'][1]['iscrowd'] = 1
    with pytest.warns(DataWarning, match='iscrowd'):
        sample = dataset_of(tmp_path, content, *pipeline)[0]['data_samples']
    assert len(sample.gt_instances) == len(sample.ignored_instances) == 1
    # where one of two loaders ignores, both do
    del content['annotations'][1]['iscrowd']
    choice = dict(type='RandomChoice', transforms=[[boxes], [COMPACT]])
    with pytest.warns(DataWarning, match='ignored because the pipeline loads masks'):
        assert dataset_of(tmp_path, content, choice)[0]['gt_ignore_flags'].tolist() == [False, True]


@pytest.mark.parametrize('options', [dict(maskless='boxes'), dict(maskless='box', poly2mask=False)])
def test_other_ways_with_instances_without_a_mask_are_refused(options):
    init_default_scope('mmdet')
    with pytest.raises(BadInputError, match=f"has maskless='{options['maskless']}'"):
        Compose([{**COMPACT, **options}])


def test_debris_and_codes_are_drawn_as_the_polygon(tmp_path):
    plain = dataset_of(tmp_path, content_of(), COMPACT)[0]['gt_masks'].masks[1]
    for segmentation in ([[1, 2, 3, 4], GOOD], [GOOD, []], [[5] * 7, GOOD]):
        content = changed('annotations', segmentation=segmentation)
        with pytest.warns(DataWarning, match='less than 3 points'):
            dataset = dataset_of(tmp_path, content, COMPACT)
        np.testing.assert_array_equal(dataset[0]['gt_masks'].masks[1], plain)
    for counts in (CODE, RUNS):
        content = changed('annotations', segmentation=dict(size=[80, 100], counts=counts))
        item = dataset_of(tmp_path, content, COMPACT)[0]
        np.testing.assert_array_equal(item['gt_masks'].masks[1], PLANE)


def test_codes_that_polygon_masks_ignore_are_said(tmp_path):
    content = changed('annotations', segmentation=dict(size=[80, 100], counts=CODE))
    with pytest.warns(DataWarning, match=r'with run-length masks, which are ignored .*: 1 \(2\)'):
        dataset = dataset_of(tmp_path, content, {**COMPACT, 'poly2mask': False})
    assert dataset[0]['gt_ignore_flags'].tolist() == [False, True]
    with warnings.catch_warnings():
        warnings.simplefilter('error', DataWarning)
        dataset_of(tmp_path, content, COMPACT)


def test_transforms_that_load_masks_are_found_wherever_they_are():
    init_default_scope('mmdet')
    broadcast = dict(
        type='TransformBroadcaster', mapping=dict(a=['a', 'a']), auto_remap=True, transforms=[STOCK]
    )
    choice = dict(type='RandomChoice', transforms=[[BOXES], [BOXES, NESTED]])
    for loading in (STOCK, COMPACT, NESTED, broadcast, choice):
        assert len(list(mask_loaders(Compose([BOXES, loading])))) == 1
    assert not list(mask_loaders(Compose([BOXES, dict(type='RandomChoice', transforms=[[BOXES]])])))


def test_compact_masks_of_other_data_sets_are_looked_at_too(tmp_path):
    segmentation = dict(size=[80, 100], counts=CODE[: len(CODE) // 2])
    content = changed('annotations', segmentation=segmentation)
    for image in content['images']:
        image['coco_url'] = 'http://images.cocodataset.org/x/1.png'
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    init_default_scope('mmdet')
    dataset = LVISV1Dataset(
        ann_file=str(path),
        data_prefix=dict(img=''),
        pipeline=[Blank(), COMPACT],
        metainfo=dict(classes=('a', 'b')),
    )
    with pytest.raises(BadInputError, match=r'mask of .*1.png: malformed RLE'):
        dataset[0]
