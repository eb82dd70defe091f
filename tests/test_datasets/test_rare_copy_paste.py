"""Pasted objects: against MMDetection's CopyPaste, and pixel by pixel."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets.transforms import CopyPaste
from mmdet.registry import DATASETS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import DefaultScope

from lt_det.datasets import CompactMasks, RareCopyPaste
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency


def image_of(height: int, width: int, number: int, seed: int, kind=CompactMasks) -> dict:
    """Random pixels, blobs as objects, and boxes that fit them."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((number, height, width), np.uint8)
    for mask in masks:
        y, x = rng.integers(0, height - 3), rng.integers(0, width - 3)
        blob = mask[y : y + rng.integers(3, 30), x : x + rng.integers(3, 30)]
        blob[:] = rng.random(blob.shape) < 0.7
        blob[1, 1] = 1
    boxes = BitmapMasks(masks, height, width).get_bboxes(HorizontalBoxes)
    return dict(
        img=rng.integers(0, 256, (height, width, 3), np.uint8),
        gt_bboxes=boxes,
        gt_bboxes_labels=rng.integers(0, 5, number),
        gt_ignore_flags=np.zeros(number, bool),
        gt_masks=kind(masks, height, width),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    number=st.integers(0, 6),
    pixels=st.sampled_from([0, 20, 300]),
    moved=st.sampled_from([0, 3, 10]),
)
def test_same_as_copy_paste(seed, number, pixels, moved):
    destination, source = image_of(60, 70, number, seed), image_of(60, 70, 3, seed + 1)
    ours = RareCopyPaste(bbox_occluded_thr=moved, mask_occluded_thr=pixels)
    stock = CopyPaste(selected=False, bbox_occluded_thr=moved, mask_occluded_thr=pixels)
    pasted = deepcopy(source)
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        pasted[key] = pasted[key][[1]]
    pasted['gt_masks'] = BitmapMasks(source['gt_masks'].masks[[1]], 60, 70)
    expected = deepcopy(destination)
    expected['gt_masks'] = BitmapMasks(destination['gt_masks'].masks.copy(), 60, 70)
    expected = stock._copy_paste(expected, pasted)
    top, left, _ = source['gt_masks'].crops[1]
    ours.paste(destination, source, 1, top, left)

    # stock code keeps an object without a pixel where its box lay in the corner
    seen = expected['gt_masks'].masks.any((1, 2))
    assert (destination['img'] == expected['img']).all()
    assert destination['img'].dtype == np.uint8
    assert (destination['gt_masks'].masks == expected['gt_masks'].masks[seen]).all()
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        assert (destination[key] == expected[key][seen]).all()
    boxes = expected['gt_bboxes'][torch.from_numpy(seen)]
    assert torch.equal(destination['gt_bboxes'].tensor, boxes.tensor)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    top=st.integers(0, 39),
    left=st.integers(0, 49),
    size=st.sampled_from([(25, 30), (80, 90)]),
)
def test_pixels_at_any_place(seed, top, left, size):
    destination, source = image_of(40, 50, 4, seed), image_of(*size, 2, seed + 1)
    before = deepcopy(destination)
    RareCopyPaste(mask_occluded_thr=0).paste(destination, source, 0, top, left)
    y, x, mask = source['gt_masks'].crops[0]
    image, old = before['img'], before['gt_masks'].masks
    pasted = np.zeros((40, 50), np.uint8)
    for row, column in zip(*mask.nonzero()):
        if top + row < 40 and left + column < 50:
            image[top + row, left + column] = source['img'][y + row, x + column]
            old[:, top + row, left + column] = 0
            pasted[top + row, left + column] = 1
    assert (destination['img'] == image).all()
    if not pasted.any():
        assert len(destination['gt_masks']) == 4
        return
    stays = old.any((1, 2))
    assert (destination['gt_masks'].masks == np.append(old[stays], pasted[None], 0)).all()
    assert len(destination['gt_bboxes']) == len(destination['gt_bboxes_labels']) == stays.sum() + 1
    tight = BitmapMasks(old[stays], 40, 50).get_bboxes(HorizontalBoxes)
    assert torch.equal(destination['gt_bboxes'].tensor[:-1], tight.tensor)
    box = source['gt_bboxes'].tensor[0] + torch.tensor([left - x, top - y] * 2)
    box[0::2].clamp_(0, 50), box[1::2].clamp_(0, 40)
    assert torch.equal(destination['gt_bboxes'].tensor[-1], box)
    assert destination['gt_bboxes_labels'][-1] == source['gt_bboxes_labels'][0]


def test_objects_that_are_not_pasted():
    """Of frequent classes, ignored, without a mask; and marks of the destination stay."""
    destination, source = image_of(40, 40, 2, 0), image_of(40, 40, 5, 1)
    destination['gt_masks'] = CompactMasks(
        destination['gt_masks'].masks, 40, 40, np.array([1, 0], bool)
    )
    source['gt_bboxes_labels'] = np.array([0, 1, 1, 1, 2])
    source['gt_ignore_flags'][1] = True
    source['gt_masks'] = CompactMasks(source['gt_masks'].masks, 40, 40, np.arange(5) == 2)
    paste = RareCopyPaste(max_objects=9, mask_occluded_thr=0)
    paste._rare = np.array([False, True, False])
    box = destination['gt_bboxes'].tensor[0].clone()
    np.random.seed(0)
    results = paste.transform(dict(destination, mix_results=[source]))
    assert results['gt_bboxes_labels'].tolist()[2:] == [1]
    assert results['gt_masks'].maskless.tolist() == [True, False, False]
    assert torch.equal(results['gt_bboxes'].tensor[0], box)  # covered or not: what is known of it


def test_an_object_larger_than_the_image():
    destination, source = image_of(20, 20, 0, 0), image_of(90, 90, 1, 1)
    source['gt_masks'] = BitmapMasks(np.ones((1, 90, 90), np.uint8), 90, 90)
    paste = RareCopyPaste()
    paste._rare = np.ones(5, bool)
    results = paste.transform(dict(destination, mix_results=[source]))
    assert (results['img'] == source['img'][:20, :20]).all()
    assert results['gt_masks'].masks.all()
    assert results['gt_bboxes'].tensor.max() == 20


def test_in_a_data_set(tiny):
    """Rare classes come, at the rate that was asked for, and frequencies are those of the data."""
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadCompactAnnotations', with_bbox=True, with_mask=True),
        dict(type='RandomFlip', prob=0.5),
    ]
    inner = dict(
        type='LongTailLVISDataset',
        data_root=str(tiny),
        ann_file='annotations/glyphs_train.json',
        data_prefix=dict(img=''),
        pipeline=load,
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        plain = DATASETS.build(inner)
        mixed = DATASETS.build(
            dict(
                type='RepeatFactorDataset',
                oversample_thr=0.0,
                dataset=dict(
                    type='MultiImageMixDataset',
                    dataset=inner,
                    pipeline=[
                        dict(type='RareCopyPaste', max_images=10, prob=0.5),
                        dict(type='PackDetInputs'),
                    ],
                ),
            )
        )
    frequency = ClassFrequency.from_dataset(plain)
    assert ClassFrequency.from_dataset(mixed).image_count.tolist() == frequency.image_count.tolist()
    rare = frequency.image_count <= 10
    assert rare.any() and not rare.all()
    np.random.seed(0)
    more = 0
    for index in range(len(mixed)):
        had = plain.get_data_info(index)['instances']
        instances = mixed[index]['data_samples'].gt_instances
        labels = instances.labels.numpy()
        assert len(labels) == len(instances.masks) == len(instances.bboxes)
        expected = [instance['bbox_label'] for instance in had if not instance['ignore_flag']]
        counts, before = (np.bincount(part, minlength=len(rare)) for part in (labels, expected))
        assert (counts <= before)[~rare].all()
        more += (counts > before).any()
    # some objects cover their whole class
    assert 0.3 < more / len(mixed) < 0.65


def test_what_cannot_be_used(tiny):
    for key, value in (('max_images', 0), ('prob', 1.5), ('max_objects', 0)):
        with pytest.raises(BadInputError, match=rf'RareCopyPaste.{key} is {value}, expected a '):
            RareCopyPaste(**{key: value})
    paste = RareCopyPaste(max_images=1, prob=1)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(
            dict(
                type='LongTailLVISDataset',
                data_root=str(tiny),
                ann_file='annotations/glyphs_train.json',
                data_prefix=dict(img=''),
                pipeline=[],
            )
        )
    smallest = ClassFrequency.from_dataset(dataset).image_count.min()
    assert smallest > 1
    with pytest.raises(
        BadInputError, match=f'max_images is 1, .*the rarest .* in {smallest} images'
    ):
        paste.get_indexes(dataset)
    destination, source = image_of(20, 20, 1, 0), image_of(20, 20, 1, 1)
    for masks in (None, PolygonMasks([[np.zeros(6)]], 20, 20)):
        with pytest.raises(BadInputError, match='gt_masks of type .*with_mask=True and poly2mask'):
            paste.transform(dict(destination, gt_masks=masks, mix_results=[source]))


def test_nothing_is_loaded_where_nothing_is_pasted(tiny):
    assert RareCopyPaste(prob=0).get_indexes(None) == []
    destination = image_of(20, 20, 1, 0)
    assert RareCopyPaste().transform(dict(destination, mix_results=[])).keys() >= destination.keys()


def test_rare_is_a_class_by_what_training_learns():
    """A mark of a crowd makes a class neither more frequent nor one that is pasted."""

    class Plain:
        metainfo = dict(classes=('a', 'b', 'c'))

        def __len__(self) -> int:
            return 6

        def get_data_info(self, index: int) -> dict:
            marks = [(0, 0), (1, index > 1), (2, 1)]
            return dict(instances=[dict(bbox_label=c, ignore_flag=int(i)) for c, i in marks])

    paste = RareCopyPaste(max_images=2, prob=1)
    assert {paste.get_indexes(Plain())[0] for _ in range(20)} <= {0, 1}
    assert paste._rare.tolist() == [False, True]
    destination, source = image_of(40, 40, 0, 0), image_of(40, 40, 2, 1)
    source['gt_bboxes_labels'], source['gt_ignore_flags'][1] = np.array([1, 2]), True
    results = paste.transform(dict(destination, mix_results=[source]))
    assert results['gt_bboxes_labels'].tolist() == [1]
