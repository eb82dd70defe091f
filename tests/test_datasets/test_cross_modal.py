"""Words of images: the glyph crops that have them, the file format, and the data set."""

from __future__ import annotations

import colorsys
import unicodedata

import cv2
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate

from lt_det.datasets import CrossModalDataset, ListFileDataset
from lt_det.datasets.glyphs import CROP_SIZES, make_crops
from lt_det.datasets.glyphs.crops import plan_crops
from lt_det.datasets.glyphs.render import render_image
from lt_det.datasets.glyphs.words import GREYS, HUES, SIZES, TEXTURES, colour_word
from lt_det.errors import BadInputError, MissingFileError
from lt_det.formats.word_file import read_word_file

LIST = 'a.png 0\nb.png 1\nc.png 1\nd.png 0\n'
WORDS = 'a.png\tred\tspring onion\tred\nc.png\tblue\nd.png\n'
VOCABULARY = ['blue', 'red', 'spring onion']


@pytest.fixture(scope='module')
def word_crops(tmp_path_factory):
    """Glyph crops of size crops_words_tiny: do not write into it."""
    root = tmp_path_factory.mktemp('crops') / 'words'
    return make_crops(root, 'crops_words_tiny', progress=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'list.txt').write_text(LIST)
    (tmp_path / 'words.txt').write_text(WORDS)
    (tmp_path / 'vocabulary.txt').write_text('\n'.join(VOCABULARY))
    return tmp_path


def build(folder, **kwargs) -> CrossModalDataset:
    arguments = dict(
        vocabulary=str(folder / 'vocabulary.txt'), word_file='words.txt', num_classes=2
    )
    return CrossModalDataset('list.txt', data_root=str(folder), **{**arguments, **kwargs})


def test_glyphs_are_described_by_name_and_looks(word_crops):
    vocabulary = (word_crops / 'words.txt').read_text().split()
    assert vocabulary == sorted(set(vocabulary))
    classes = (word_crops / 'classes.txt').read_text().split()
    for split in ('train', 'val'):
        labels = dict(line.split() for line in (word_crops / f'{split}.txt').open())
        rows = [line.split() for line in (word_crops / f'{split}_words.txt').open()]
        assert [row[0] for row in rows] == list(labels)
        for name, *words in rows:
            char = unicodedata.lookup(classes[int(labels[name])].replace('_', ' '))
            assert words[:-3] == unicodedata.name(char).lower().split()
            colour, texture, size = words[-3:]
            assert colour in HUES + GREYS and texture in TEXTURES and size in SIZES
            assert set(words) <= set(vocabulary)


def test_words_of_looks_are_true(word_crops):
    plan = plan_crops(CROP_SIZES['crops_words_tiny'])
    rows = (word_crops / 'train_words.txt').read_text().splitlines()
    for image, row in list(zip(plan.images, rows))[:40]:
        pixels, (placed,) = render_image(plan, image)
        np.testing.assert_array_equal(pixels, cv2.imread(str(word_crops / image.path)))
        colour, texture, size = row.split('\t')[-3:]
        blue, green, red = placed.colour / 255
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        if saturation < 0.25:
            assert colour == ('dark' if value < 1 / 3 else 'grey' if value < 2 / 3 else 'light')
        else:
            distance = {name: abs((hue - i / 6 + 0.5) % 1 - 0.5) for i, name in enumerate(HUES)}
            assert colour == min(distance, key=distance.get)
        ink = np.argwhere(placed.visible)
        longest = (ink.max(0) - ink.min(0)).max() / 4
        low, high = plan.recipe.object_size
        step = (high - low) / 3
        assert size == SIZES[sum(bool(longest >= low + i * step) for i in (1, 2))]
        assert texture == placed.texture


@pytest.mark.parametrize(
    ('bgr', 'word'),
    [
        ((0, 0, 250), 'red'),
        ((0, 250, 250), 'yellow'),
        ((200, 10, 10), 'blue'),
        ((5, 5, 5), 'dark'),
        ((250, 250, 250), 'light'),
        ((60, 0, 250), 'red'),
    ],
)
def test_colour_words(bgr, word):
    assert colour_word(np.array(bgr, float)) == word


def test_items_are_those_of_the_list_with_words(folder):
    ours, plain = build(folder), ListFileDataset('list.txt', data_root=str(folder), num_classes=2)
    assert [item['words'].tolist() for item in ours] == [[1, 2], [], [0], []]
    for mine, theirs in zip(ours, plain):
        mine = {key: value for key, value in mine.items() if key != 'words'}
        assert mine == theirs
    np.testing.assert_array_equal(ours.get_gt_labels(), plain.get_gt_labels())
    assert ours.class_frequency == plain.class_frequency
    counts, described = ours.word_statistics()
    assert (counts.tolist(), described) == ([1, 1, 1], 2)
    part = build(folder, indices=[2, 0])
    assert [item['words'].tolist() for item in part] == [[0], [1, 2]]
    assert [part[i]['words'].tolist() for i in (-1, -2)] == [[1, 2], [0]]
    assert [item['words'].tolist() for item in build(folder, word_file=None)] == [[]] * 4


def test_words_reach_the_batch(word_crops):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackInputs', algorithm_keys=('words',)),
    ]
    dataset = CrossModalDataset(
        'train.txt',
        vocabulary=str(word_crops / 'words.txt'),
        word_file='train_words.txt',
        data_root=str(word_crops),
        classes=str(word_crops / 'classes.txt'),
        pipeline=pipeline,
    )
    batch = pseudo_collate([dataset[0], dataset[5]])
    for index, sample in zip((0, 5), batch['data_samples']):
        assert list(sample.words) == dataset.words_of(index).tolist()
        line = (word_crops / 'train_words.txt').read_text().splitlines()[index]
        assert sorted(dataset.vocabulary[word] for word in sample.words) == sorted(
            set(line.split('\t')[1:])
        )


def test_share_of_described_images(word_crops):
    def described(share: float, seed: int = 0) -> set[int]:
        dataset = CrossModalDataset(
            'train.txt',
            vocabulary=str(word_crops / 'words.txt'),
            word_file='train_words.txt',
            data_root=str(word_crops),
            num_classes=9,
            described=share,
            seed=seed,
        )
        return {index for index in range(len(dataset)) if len(dataset.words_of(index))}

    assert len(described(1)) == 100 and len(described(0)) == 0
    assert len(described(0.5)) == 50 and len(described(0.1)) == 10
    assert described(0.1) < described(0.5) != described(0.5, seed=1)
    with pytest.raises(BadInputError, match=r'described is 1\.5, expected a number in \[0, 1\]'):
        described(1.5)


def test_unknown_words_are_skipped_with_a_count_or_refused(folder, caplog):
    (folder / 'vocabulary.txt').write_text('blue\nred\n')
    with pytest.raises(BadInputError, match=r"words\.txt:1 has the word 'spring onion', which is"):
        build(folder)
    ours = build(folder, unknown_words='skip')
    assert [item['words'].tolist() for item in ours] == [[1], [], [0], []]
    assert read_word_file(folder / 'words.txt', ['blue'], 'skip').skipped == 3
    with pytest.raises(BadInputError, match="unknown_words is 'ask', expected one of"):
        build(folder, unknown_words='ask')


def test_bad_input(folder):
    (folder / 'words.txt').write_text(WORDS + 'gone.png\tred\n')
    with pytest.raises(BadInputError, match=r'words\.txt describes gone\.png \(1 such images\)'):
        build(folder)
    (folder / 'words.txt').write_text(WORDS + 'a.png\tred\n')
    with pytest.raises(BadInputError, match=r'words\.txt:4 describes a\.png, as an earlier line'):
        build(folder)
    (folder / 'words.txt').unlink()
    with pytest.raises(MissingFileError, match=r'word file .*words\.txt does not exist'):
        build(folder)
    for content, message in (('\n', 'is empty'), ('red\nblue\nred\n', "has 'red' 2 times")):
        (folder / 'vocabulary.txt').write_text(content)
        with pytest.raises(BadInputError, match=message):
            build(folder)
    (folder / 'vocabulary.txt').unlink()
    with pytest.raises(MissingFileError, match=r'vocabulary .*vocabulary\.txt does not exist'):
        build(folder)
