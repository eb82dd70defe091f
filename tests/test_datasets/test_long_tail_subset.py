"""Long-tailed parts of annotation files: whole images, by the seed, as near as can be."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lt_det.datasets.long_tail_subset import choose_images, long_tail_file, wanted_counts
from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency

from ..conftest import ROOT
from ..scripts import load_script

images_of_classes = st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@example([[], [0, 2], [1, 2], [0, 1, 3]], 1, 0, 'frequency', None)
@given(
    images_of_classes.filter(any),
    st.sampled_from([1, 2.5, 10, 100]),
    st.integers(0, 3),
    st.sampled_from(['frequency', 'random']),
    st.sampled_from([None, 1, 7, 1000]),
)
def test_choice_of_images(images, factor, seed, order, most):
    image = [i for i, labels in enumerate(images) for _ in labels]
    label = [c for labels in images for c in labels]
    subset = choose_images(image, label, len(images), 5, factor, seed, order, most)
    again = choose_images(image[::-1], label[::-1], len(images), 5, factor, seed, order, most)
    np.testing.assert_array_equal(subset.images, again.images)
    kept = [set(images[i]) for i in subset.images]
    for c in range(5):
        assert subset.present[c] == sum(c in labels for labels in images)
        assert subset.achieved[c] == sum(c in labels for labels in kept)
        assert subset.wanted[c] <= subset.present[c]
        assert (subset.achieved[c] > 0) == (subset.wanted[c] > 0) == (subset.present[c] > 0)
    # a class is above what it wanted only where its image was kept for another one, which may have
    # come into further images since
    over = np.flatnonzero(subset.achieved > subset.wanted)
    assert all(any(c in labels and len(labels) > 1 for labels in kept) for c in over)
    # no image could be added
    room = {c for c in range(5) if subset.achieved[c] < subset.wanted[c]}
    left = [set(images[i]) for i in set(range(len(images))) - set(subset.images.tolist())]
    assert not any(labels and labels <= room for labels in left)
    # images without annotations, by the same share
    empty = sum(not labels for labels in images)
    share = sum(map(bool, kept)) / (len(images) - empty)
    assert sum(not labels for labels in kept) == round(share * empty)


def test_balanced_data_with_one_class_an_image_gets_exactly_what_was_asked():
    label = np.repeat(np.arange(5), 300)
    image = np.random.default_rng(0).permutation(len(label))
    subset = choose_images(image, label, len(label), 5, 100, seed=1)
    expected = [int(300 * 100 ** (-i / 4)) for i in range(5)]
    assert subset.wanted.tolist() == subset.achieved.tolist() == expected
    assert subset.imbalance == 100
    shuffled = choose_images(image, label, len(label), 5, 100, seed=1, order='random')
    assert sorted(shuffled.achieved, reverse=True) == expected
    other = choose_images(image, label, len(label), 5, 100, seed=2)
    assert set(other.images) != set(subset.images)


def test_counts_without_and_with_a_number_of_images():
    present = np.array([50, 0, 1000, 20, 400])
    # by frequency 1000, 400, 50, 20; the last is what limits most: 160 / 8 = 20
    assert wanted_counts(present, 8, 'frequency', 0).tolist() == [40, 0, 160, 20, 80]
    assert wanted_counts(present, 8, 'frequency', 0, most=600).tolist() == [50, 0, 600, 20, 300]
    assert wanted_counts(present, 1e9, 'frequency', 0).min() == 0
    for arguments, message in (
        ((present, 0.5, 'frequency', 0), 'imbalance factor is 0.5'),
        ((present, 8, 'size', 0), "order is 'size', expected one of"),
        ((present, 8, 'random', 0, 0), 'most is 0, expected'),
        ((present * 0, 8, 'random', 0), 'no class has an image'),
    ):
        with pytest.raises(BadInputError, match=message):
            wanted_counts(*arguments)


def test_file_keeps_everything_of_its_images(tiny_glyphs, tmp_path):
    source = tiny_glyphs / 'annotations' / 'glyphs_val.json'
    whole = json.loads(source.read_text())
    whole.update(info=dict(version=7), licenses=[dict(id=1)])
    crowd = dict(whole['annotations'][0], id=10**6, iscrowd=1)
    whole['annotations'].append(crowd)
    path, out = tmp_path / 'whole.json', tmp_path / 'part.json'
    path.write_text(json.dumps(whole))
    subset, frequency = long_tail_file(path, out, 4, seed=3)
    part = json.loads(out.read_text())
    assert 0 < len(part['images']) == len(subset.images) < len(whole['images'])
    ids = {record['id'] for record in part['images']}
    assert part['images'] == [r for r in whole['images'] if r['id'] in ids]
    assert part['annotations'] == [r for r in whole['annotations'] if r['image_id'] in ids]
    assert (part['info'], part['licenses']) == (whole['info'], whole['licenses'])
    assert ClassFrequency.from_annotation_file(out) == frequency
    np.testing.assert_array_equal(frequency.image_count, subset.achieved)
    counts = ('image_count', 'instance_count', 'frequency')
    for old, new in zip(whole['categories'], part['categories']):
        assert old.keys() == new.keys()
        assert all(old[key] == new[key] for key in old if key not in counts)
    found = [c['image_count'] for c in sorted(part['categories'], key=lambda c: c['id'])]
    assert found == frequency.image_count.tolist()
    before = out.read_text()
    with pytest.raises(BadInputError, match=r'part.json exists already'):
        long_tail_file(path, out, 4)
    assert out.read_text() == before
    with pytest.raises(BadInputError, match='folder .* does not exist'):
        long_tail_file(path, tmp_path / 'none' / 'a.json', 4)
    with pytest.raises(MissingFileError, match='gone'):
        long_tail_file(tmp_path / 'gone.json', tmp_path / 'b.json', 4)


def test_tool(tiny_glyphs, tmp_path, monkeypatch, capsys):
    path = ROOT / 'tools' / 'dataset' / 'make_long_tailed.py'
    tool = load_script(path)
    source, out = tiny_glyphs / 'annotations' / 'glyphs_val.json', tmp_path / 'part.json'
    arguments = [path.name, str(source), '--imbalance', '3', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', [*arguments, '--order', 'random'])
    tool.main()
    said = capsys.readouterr().out.splitlines()
    frequency = ClassFrequency.from_annotation_file(out)
    rows = {line.split()[0]: line.split()[-1] for line in said[1:-1]}
    names = [name.split()[0] for name in frequency.class_names]
    assert rows == dict(zip(names, map(str, frequency.image_count), strict=True))
    assert f'{frequency.num_images} images' in said[-1] and 'asked 3;' in said[-1]
