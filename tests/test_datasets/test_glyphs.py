"""The glyphs data set: bytes, LVIS json, federated lists, polygons, recipes."""

import hashlib
import json
from collections import defaultdict
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from lt_det.datasets.glyphs import SIZES, get_recipe, make_glyphs, plan_dataset
from lt_det.datasets.glyphs.annotate import frequency_group, to_polygons
from lt_det.datasets.glyphs.background import draw_background
from lt_det.datasets.glyphs.fonts import FONTS, fonts_with, glyph_name, outline
from lt_det.datasets.glyphs.plan import BACKGROUNDS, deal_categories, deal_negatives
from lt_det.datasets.glyphs.render import SUPERSAMPLE, render_image

from .conftest import FEW

TINY = SIZES['tiny']


def load(root, split):
    return json.loads((root / 'annotations' / f'glyphs_{split}.json').read_text())


def digests(root):
    files = [p for p in sorted(root.rglob('*')) if p.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def images_by_category(data):
    images = defaultdict(set)
    for annotation in data['annotations']:
        images[annotation['category_id']].add(annotation['image_id'])
    return images


@pytest.mark.parametrize('workers', [1, 3])
def test_same_recipe_gives_same_bytes(few, tmp_path, workers):
    again = make_glyphs(tmp_path / 'again', FEW, progress=False, workers=workers)
    assert digests(again) == digests(few)


def test_seed_changes_the_data(few, tmp_path):
    other = make_glyphs(tmp_path / 'other', replace(FEW, seed=1), progress=False)
    changed, same = digests(other), digests(few)
    assert changed.keys() == same.keys()
    assert not any(changed[name] == same[name] for name in same)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_json_has_the_fields_of_lvis_v1(tiny, split):
    data = load(tiny, split)
    assert data.keys() == {'info', 'licenses', 'images', 'annotations', 'categories'}
    image_ids = {i['id'] for i in data['images']}
    category_ids = [c['id'] for c in data['categories']]
    assert category_ids == list(range(1, TINY.num_classes + 1))
    assert [a['id'] for a in data['annotations']] == list(range(1, len(data['annotations']) + 1))
    assert len(image_ids) == len(data['images']) == TINY.num_images(split)
    for image in data['images']:
        assert {'license', 'flickr_url', 'date_captured'} < image.keys()
        assert '/'.join(image['coco_url'].split('/')[-2:]) == image['file_name']
        pixels = cv2.imread(str(tiny / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3)
        assert set(image['neg_category_ids']) <= set(category_ids)
    for annotation in data['annotations']:
        assert annotation['image_id'] in image_ids
        assert annotation['category_id'] in category_ids
    for category in data['categories']:
        assert {'name', 'synset', 'synonyms', 'def'} < category.keys()


def test_image_ids_are_distinct_over_the_splits(tiny):
    ids = [i['id'] for split in ('train', 'val') for i in load(tiny, split)['images']]
    assert len(set(ids)) == TINY.train_images + TINY.val_images


def test_counts_are_those_of_the_train_annotations(tiny):
    train = load(tiny, 'train')
    images = images_by_category(train)
    for category in train['categories']:
        instances = [a for a in train['annotations'] if a['category_id'] == category['id']]
        assert category['instance_count'] == len(instances)
        assert category['image_count'] == len(images[category['id']])
        assert category['frequency'] == frequency_group(category['image_count'])
    assert load(tiny, 'val')['categories'] == train['categories']


@pytest.mark.parametrize('count, group', [(1, 'r'), (10, 'r'), (11, 'c'), (100, 'c'), (101, 'f')])
def test_frequency_group(count, group):
    assert frequency_group(count) == group


def test_all_groups_are_present_and_ids_are_not_in_order_of_frequency(tiny):
    categories = load(tiny, 'train')['categories']
    assert {c['frequency'] for c in categories} == {'r', 'c', 'f'}
    counts = [c['image_count'] for c in categories]
    assert counts != sorted(counts) and counts != sorted(counts, reverse=True)


def test_every_category_has_positives_and_negatives_in_val(tiny):
    data = load(tiny, 'val')
    positives = images_by_category(data)
    for category in data['categories']:
        negatives = [i for i in data['images'] if category['id'] in i['neg_category_ids']]
        assert len(positives[category['id']]) >= 3
        assert len(negatives) >= 3


@pytest.mark.parametrize('size', ['tiny', 'demo'])
def test_planned_counts(size):
    recipe = get_recipe(size)
    plan = plan_dataset(recipe)
    for split, counts in (
        ('train', plan.train_counts),
        ('val', [recipe.val_count] * recipe.num_classes),
    ):
        images = [set(i.classes) for i in plan.images if i.split == split]
        assert [sum(c in i for i in images) for c in range(recipe.num_classes)] == list(counts)
    low, high = recipe.objects
    assert all(low <= len(i.classes) <= high for i in plan.images)


def test_demo_has_three_categories_of_each_group():
    groups = [frequency_group(n) for n in SIZES['demo'].train_counts]
    assert min(groups.count(g) for g in 'rcf') >= 3
    assert max(SIZES['demo'].train_counts) == 100 * min(SIZES['demo'].train_counts) == 300
    assert SIZES['demo'].val_count >= 40


def test_no_glyph_of_pretraining_is_in_another_data_set():
    others = set(SIZES['pretrain'].glyphs)
    assert len(set(SIZES['pretrain'].train_counts)) == 1
    for size in SIZES.keys() - {'pretrain'}:
        assert not others & set(SIZES[size].glyphs)


def test_demo_and_small_share_their_training_images():
    train = [
        [i for i in plan_dataset(SIZES[s]).images if i.split == 'train'] for s in ('demo', 'small')
    ]
    assert train[0] == train[1]


def test_nothing_drawn_is_listed_as_absent_and_all_drawn_is_annotated(tiny):
    plan = plan_dataset(TINY)
    entries = {i['id']: i for s in ('train', 'val') for i in load(tiny, s)['images']}
    found = defaultdict(list)
    for split in ('train', 'val'):
        for annotation in load(tiny, split)['annotations']:
            found[annotation['image_id']].append(annotation['category_id'])
    partial = 0
    for image in plan.images:
        drawn = [obj.category + 1 for obj in render_image(plan, image)[1]]
        entry = entries[image.image_id]
        assert not set(drawn) & set(entry['neg_category_ids'])
        for category in set(drawn):
            hidden = category in entry['not_exhaustive_category_ids']
            assert found[image.image_id].count(category) == drawn.count(category) - hidden > 0
            partial += hidden
    assert partial > 0


@pytest.mark.parametrize('split', ['train', 'val'])
def test_polygons_lie_inside_and_decode_to_the_stated_area(tiny, split):
    side = TINY.side
    for annotation in load(tiny, split)['annotations']:
        polygons = annotation['segmentation']
        assert polygons and all(len(p) >= 6 and len(p) % 2 == 0 for p in polygons)
        points = np.concatenate([np.reshape(p, (-1, 2)) for p in polygons])
        assert points.min() >= 0 and points.max() <= side
        rle = mask_utils.merge(mask_utils.frPyObjects(polygons, side, side))
        assert mask_utils.area(rle) == annotation['area'] > 0
        x, y, width, height = annotation['bbox']
        corners = [*points.min(axis=0), *points.max(axis=0)]
        np.testing.assert_allclose([x, y, x + width, y + height], corners, atol=2e-3)


def test_polygons_decode_to_the_visible_masks():
    """The visible masks at full resolution, holes filled, against the decoded polygons."""
    plan = plan_dataset(TINY)
    for image in plan.images[:20]:
        for obj in render_image(plan, image)[1]:
            contours, _ = cv2.findContours(
                obj.visible.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            full = np.zeros(obj.visible.shape, np.uint8)
            cv2.drawContours(full, contours, -1, 1, -1)
            small = cv2.resize(full * 255, (TINY.side,) * 2, interpolation=cv2.INTER_AREA) > 127
            rles = mask_utils.frPyObjects(to_polygons(obj.visible), TINY.side, TINY.side)
            decoded = mask_utils.decode(mask_utils.merge(rles)).astype(bool)
            assert (small & decoded).sum() / (small | decoded).sum() > 0.85


def test_polygons_fill_holes_and_drop_specks():
    side = 40 * SUPERSAMPLE
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), 12 * SUPERSAMPLE, 1, -1)
    cv2.circle(mask, (side // 2, side // 2), 8 * SUPERSAMPLE, 0, -1)
    mask[:3, :3] = 1
    polygons = to_polygons(mask.astype(bool))
    assert len(polygons) == 1
    area = mask_utils.area(mask_utils.frPyObjects(polygons, 40, 40))[0]
    assert area == pytest.approx(np.pi * 12**2, rel=0.04)


def test_occlusion_leaves_the_promised_share():
    plan = plan_dataset(TINY)
    shares = [
        np.count_nonzero(obj.visible) / obj.area
        for image in plan.images[:60]
        for obj in render_image(plan, image)[1]
    ]
    assert min(shares) >= TINY.min_visible
    assert min(shares) < 0.95


def test_background_tells_the_head_category_in_train_only():
    plan = plan_dataset(SIZES['demo'])
    last = SIZES['demo'].cue_classes
    head = int(np.argsort(plan.train_counts)[-last])
    rate = {}
    for split in ('train', 'val'):
        images = [i for i in plan.images if i.split == split]
        cued = [head in i.classes for i in images if i.background == BACKGROUNDS[last - 1]]
        rate[split] = np.mean(cued) / np.mean([head in i.classes for i in images])
    assert rate['train'] > 1.5
    assert 0.4 < rate['val'] < 1.6


@pytest.mark.parametrize('family', BACKGROUNDS)
def test_backgrounds_stay_in_range(family):
    image = draw_background(family, 64, np.random.default_rng(0))
    assert image.shape == (64, 64, 3) and image.dtype == np.float32
    assert -60 < image.min() < image.max() < 315 and image.std() > 3


def test_deal_categories_reports_too_little_room():
    with pytest.raises(ValueError, match='3 images with at most 1 objects cannot hold 4'):
        deal_categories(np.array([2, 2]), 3, 1, np.random.default_rng(0))


def test_negatives_are_limited_by_the_absent_images():
    present = np.array([[True, False], [True, False], [False, False]])
    negative = deal_negatives(present, 2, np.random.default_rng(0))
    assert negative.sum(axis=0).tolist() == [1, 2]
    assert not (negative & present).any()


@pytest.mark.parametrize('size', sorted(SIZES))
def test_glyphs_exist_and_have_distinct_names(size):
    glyphs = SIZES[size].glyphs
    assert len({glyph_name(g) for g in glyphs}) == len(glyphs)
    for char in glyphs:
        assert fonts_with(char)[0] == FONTS[0]
        points = np.concatenate(outline(char, FONTS[0]))
        assert np.ptp(points, axis=0).max() == pytest.approx(1.0)


def test_names_and_missing_glyphs():
    assert glyph_name('α') == 'greek_small_letter_alpha'
    with pytest.raises(ValueError, match=r'no glyph for .* \(U\+4E2D\)'):
        fonts_with('中')
    with pytest.raises(ValueError, match='no ink'):
        outline(' ', FONTS[0])


@pytest.mark.parametrize(
    'change, message',
    [
        ({'glyphs': 'AAB'}, '3 glyphs .2 distinct. and 8 counts'),
        ({'train_images': 50}, 'must lie in 1..train_images = 50, got 4..108'),
        ({'val_count': 25}, 'val_count must lie in 1..24, got 25'),
        ({'seed': -1}, 'seed must not be negative, got -1'),
    ],
)
def test_bad_recipes(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)
