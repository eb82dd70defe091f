"""Parts of annotation files: rare classes on both sides, shares as near as can be, whole images."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_det.cli.main import main
from lt_det.datasets.split import split_file, split_units
from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency

SHARES = st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.7, 0.2, 0.1), (0.34, 0.33, 0.33), (1.0,)])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=40),
    SHARES,
    st.integers(0, 3),
)
def test_every_class_is_trained_on(images, shares, seed):
    unit = np.array([i for i, labels in enumerate(images) for _ in labels], int)
    label = np.array([c for labels in images for c in labels], int)
    part = split_units(unit, label, len(images), 6, np.array(shares), seed)
    again = split_units(unit[::-1], label[::-1], len(images), 6, np.array(shares), seed)
    np.testing.assert_array_equal(part, again)
    assert part.shape == (len(images),)
    assert set(part.tolist()) <= set(range(len(shares)))
    for c in set(label.tolist()):
        assert any(part[i] == 0 and c in labels for i, labels in enumerate(images))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any), SHARES, st.integers(0, 3))
def test_of_one_class_per_image_every_part_gets_its_share(counts, shares, seed):
    label = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    part = split_units(
        np.arange(len(label)), label, len(label), len(counts), np.array(shares), seed
    )
    for c, count in enumerate(counts):
        found = np.bincount(part[label == c], minlength=len(shares))
        if count == 1:
            assert found[0] == 1
        elif count and len(shares) > 1:
            # one at least is validated, at the cost of those to train on
            wanted = np.array(shares) * count
            wanted[0] -= max(1 - wanted[1], 0)
            wanted[1] = max(wanted[1], 1)
            assert found[0] >= 1 and found[1] >= 1
            wanted[0] = max(wanted[0], 1)
            assert (abs(found - wanted) <= 1).all()


def test_images_without_objects_are_shared_out_too():
    part = split_units(np.arange(60), np.repeat([0, 1], 30), 160, 2, np.array([0.7, 0.2, 0.1]))
    assert Counter(part[60:].tolist()) == {0: 70, 1: 20, 2: 10}


def write(path, names, labels, **more):
    images = [
        dict(id=7 * i, file_name=name, width=50, height=40, **more) for i, name in enumerate(names)
    ]
    annotations = [
        dict(id=i, image_id=7 * i, category_id=3 + 2 * c, bbox=[1, 1, 20, 20], area=400, iscrowd=0)
        for i, c in enumerate(labels)
    ]
    categories = [
        dict(id=3 + 2 * c, name=f'class {c}', image_count=99, frequency='f') for c in (2, 0, 1)
    ]
    content = dict(info=dict(year=1), images=images, annotations=annotations, categories=categories)
    path.write_text(json.dumps(content))
    return content


def test_files_hold_all_of_their_images(tmp_path):
    labels = [0] * 20 + [1] * 9 + [2]
    names = [f'{i % 5}/a {i}.jpg' for i in range(30)]
    whole = write(tmp_path / 'all.json', names, labels, not_exhaustive_category_ids=[3])
    parts = split_file(tmp_path / 'all.json', dict(train=0.7, val=0.2, held=0.1), tmp_path)
    assert [part.path.name for part in parts] == ['all_train.json', 'all_val.json', 'all_held.json']
    seen = []
    for part in parts:
        content = json.loads(part.path.read_text())
        assert content['info'] == whole['info']
        ids = {image['id'] for image in content['images']}
        assert content['images'] == [i for i in whole['images'] if i['id'] in ids]
        assert content['annotations'] == [a for a in whole['annotations'] if a['image_id'] in ids]
        assert ClassFrequency.from_annotation_file(part.path) == part.frequency
        seen += ids
        # by training images, and in the order of the file
        assert [c['id'] for c in content['categories']] == [7, 3, 5]
        trained = parts[0].frequency.image_count[[2, 0, 1]].tolist()
        assert [c['image_count'] for c in content['categories']] == trained
        assert [c['frequency'] for c in content['categories']] == ['r', 'c', 'r']
    assert sorted(seen) == [7 * i for i in range(30)]
    assert [part.frequency.image_count.tolist() for part in parts] == [
        [14, 6, 1],
        [4, 2, 0],
        [2, 1, 0],
    ]


def test_what_belongs_together_stays_together(tmp_path):
    labels = [i % 3 for i in range(60)]
    names = [f'{i // 6}/frame_{i // 2}.jpg' for i in range(60)]  # each name is there twice
    write(tmp_path / 'all.json', names, labels)
    for by_folder in (False, True):
        out = tmp_path / str(by_folder)
        parts = split_file(tmp_path / 'all.json', dict(train=0.5, val=0.5), out, 0, by_folder)
        sides = [
            {image['file_name'] for image in json.loads(part.path.read_text())['images']}
            for part in parts
        ]
        assert all(sides) and not sides[0] & sides[1]
        folders = [{name.split('/')[0] for name in side} for side in sides]
        assert bool(folders[0] & folders[1]) != by_folder


def test_what_cannot_be_split(tmp_path):
    source = tmp_path / 'all.json'
    write(source, [f'a/{i}.jpg' for i in range(10)], [i % 3 for i in range(10)])
    for shares, message in (
        (dict(train=0.5, val=0.6), 'have the sum 1.1, not 1'),
        (dict(train=0, val=1), 'the share of train is 0, expected'),
        (dict(train='1'), "the share of train is '1', expected"),
    ):
        with pytest.raises(BadInputError, match=message):
            split_file(source, shares, tmp_path)
    with pytest.raises(
        BadInputError,
        match=r'no image with an object is left for all_val\.json; .*'
        r'10 images are of 1 folders',
    ):
        split_file(source, dict(train=0.5, val=0.5), tmp_path, by_folder=True)
    (tmp_path / 'all_val.json').write_text('mine')
    with pytest.raises(BadInputError, match=r'all_val\.json exists already'):
        split_file(source, dict(train=0.5, val=0.5), tmp_path)
    assert (tmp_path / 'all_val.json').read_text() == 'mine'
    assert not (tmp_path / 'all_train.json').exists()
    with pytest.raises(MissingFileError, match='gone'):
        split_file(tmp_path / 'gone.json', dict(train=0.5, val=0.5), tmp_path)


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'my data.json', [f'{i}.jpg' for i in range(40)], [0] * 29 + [1] * 10 + [2])
    assert main(['split', 'my data.json', '--held', '0.1', '--out', 'parts']) == 0
    out, err = capsys.readouterr()
    rows = [line.split()[2:] for line in out.splitlines()[1:4]]
    assert rows == [
        ['28', '28', '2', '1', '0'],
        ['8', '8', '1', '1', '0'],
        ['4', '4', '1', '1', '0'],
    ]
    assert "next:  lt_det inspect 'parts/my data_train.json' 'parts/my data_val.json'" in out
    assert (
        "my data_val.json has no image of 1 classes, of which 1 are in one image alone: 'class"
        in err
    )
    for options, message in (
        (['--val', '1.2'], '--val is 1.2, expected a share'),
        (['--val', '0.5', '--held', '0.5'], 'expected less than 1 together'),
        (['--val', '0'], '--val and --held are 0'),
        (['--seed', '-1'], '--seed is -1, expected 0 or more'),
    ):
        with pytest.raises(SystemExit):
            main(['split', 'my data.json', *options])
        assert message in capsys.readouterr().err
