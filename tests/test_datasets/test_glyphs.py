"""The glyphs data set: bytes, LVIS json, federated lists, and what happens to used folders."""

import hashlib
import importlib.util
import json
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from lt_det.datasets.glyphs import SIZES, GlyphFolderError, get_recipe, make_glyphs, plan_dataset
from lt_det.datasets.glyphs.annotate import frequency_group, to_polygons
from lt_det.datasets.glyphs.background import draw_background
from lt_det.datasets.glyphs.fonts import FONTS, fonts_with, glyph_name, outline
from lt_det.datasets.glyphs.plan import BACKGROUNDS, deal_categories, deal_negatives
from lt_det.datasets.glyphs.render import SUPERSAMPLE, render_image

CLI = Path(__file__).parents[2] / 'tools' / 'dataset' / 'make_glyphs.py'
TINY = SIZES['tiny']


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return make_glyphs(tmp_path_factory.mktemp('glyphs') / 'tiny', 'tiny', progress=False)


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of the data set that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / 'copy'))


@pytest.fixture
def cli(monkeypatch):
    """The command line tool as a function of its arguments."""
    spec = importlib.util.spec_from_file_location('make_glyphs_cli', CLI)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*args):
        monkeypatch.setattr('sys.argv', ['make_glyphs.py', *map(str, args)])
        return module.main()

    return run


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
def test_same_recipe_gives_same_bytes(tiny, tmp_path, workers):
    again = make_glyphs(tmp_path / 'again', 'tiny', progress=False, workers=workers)
    assert digests(again) == digests(tiny)


def test_seed_changes_the_data(tiny, tmp_path):
    other = make_glyphs(tmp_path / 'other', replace(TINY, seed=1), progress=False)
    changed, same = digests(other), digests(tiny)
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


def test_unknown_size(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"size must be one of \['bench', 'demo', 'pretrain', 'small', 'tiny'\], got 'huge'",
    ):
        make_glyphs(tmp_path / 'out', 'huge')
    assert not (tmp_path / 'out').exists()


def test_complete_folder_is_reused(copy, capsys):
    before = {p: p.stat().st_mtime_ns for p in copy.rglob('*')}
    assert make_glyphs(copy, 'tiny') == copy
    assert 'reused' in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in copy.rglob('*')} == before


def test_other_recipe_is_refused(copy):
    before = digests(copy)
    with pytest.raises(GlyphFolderError) as error:
        make_glyphs(copy, 'tiny', seed=5, progress=False)
    for part in (str(copy), 'seed: found 0, expected 5', '--overwrite'):
        assert part in str(error.value)
    assert isinstance(error.value, ValueError) and isinstance(error.value, FileExistsError)
    assert digests(copy) == before


@pytest.mark.parametrize('damage', ['no recipe', 'no image', 'no json', 'cut image', 'cut recipe'])
def test_incomplete_folder_is_refused_then_replaced(copy, tiny, damage):
    image = copy / 'val' / '000000000130.png'
    if damage == 'no recipe':
        (copy / 'recipe.json').unlink()
    elif damage == 'no image':
        image.unlink()
    elif damage == 'no json':
        (copy / 'annotations' / 'glyphs_val.json').unlink()
    elif damage == 'cut image':
        image.write_bytes(image.read_bytes()[:100])
    else:
        (copy / 'recipe.json').write_text('{"recipe":')
    before = digests(copy)
    with pytest.raises(GlyphFolderError, match='--overwrite'):
        make_glyphs(copy, 'tiny', progress=False)
    assert digests(copy) == before
    make_glyphs(copy, 'tiny', progress=False, overwrite=True)
    assert digests(copy) == digests(tiny)


def test_interrupted_run_leaves_no_recipe(tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('lt_det.datasets.glyphs.writer._write_annotations', fail)
    with pytest.raises(KeyboardInterrupt):
        make_glyphs(tmp_path / 'out', 'tiny', progress=False)
    with pytest.raises(GlyphFolderError, match='no recipe.json'):
        make_glyphs(tmp_path / 'out', 'tiny', progress=False)


def test_overwrite_keeps_foreign_files(copy):
    foreign = [copy / 'notes.txt', copy / 'train' / 'mine.png', copy / 'annotations' / 'own.json']
    for path in foreign:
        path.write_text('mine')
    small = replace(TINY, val_images=20)
    make_glyphs(copy, small, progress=False, overwrite=True)
    assert all(path.read_text() == 'mine' for path in foreign)
    assert len(list((copy / 'val').iterdir())) == 20


def test_foreign_folder_and_file_are_refused(tmp_path):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'thesis.tex').write_text('mine')
    with pytest.raises(GlyphFolderError, match='not empty and has no recipe.json'):
        make_glyphs(tmp_path / 'folder', 'tiny', progress=False)
    (tmp_path / 'file').write_text('mine')
    for overwrite in (False, True):
        with pytest.raises(GlyphFolderError, match='is a file, expected a folder'):
            make_glyphs(tmp_path / 'file', 'tiny', progress=False, overwrite=overwrite)


def test_cli_reuses_and_reports_errors_in_one_line(copy, cli, capsys):
    assert cli('--size', 'tiny', '--out', copy) == 0
    assert 'reused' in capsys.readouterr().out
    assert cli('--size', 'tiny', '--out', copy, '--seed', 3) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith('error: ') and captured.err.count('\n') == 1
    assert 'Traceback' not in captured.err and str(copy) in captured.err
    assert cli('--size', 'tiny', '--out', copy, '--seed', -3) == 1
    assert cli('--size', 'tiny', '--out', copy, '--workers', 0) == 1
    assert 'workers must be at least 1, got 0' in capsys.readouterr().err


def test_other_size_is_named_and_nothing_more(copy, cli, capsys):
    assert cli('--size', 'demo', '--out', copy) == 1
    assert "(size: found 'tiny', expected 'demo')" in capsys.readouterr().err


def test_impossible_recipe_removes_nothing(copy):
    before = digests(copy)
    with pytest.raises(ValueError, match='no glyph for'):
        make_glyphs(copy, replace(TINY, glyphs='ABCDEFG中'), progress=False, overwrite=True)
    assert digests(copy) == before
