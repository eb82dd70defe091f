"""The lists of images of a calibration: which are refused, and what is said."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from lt_det.calibration.classifier_data import ClassifierData, image_paths
from lt_det.calibration.classify import Sweep
from lt_det.errors import BadInputError, DataWarning, MissingFileError
from lt_det.frequency import ClassFrequency

from .cases import SETTINGS, swept


def shared_lists(tiny_crops: Path, held_out: Path, folder: Path) -> dict[str, Path]:
    """Held-out lists with images of the training set, by another path, and of the test set."""
    (folder / 'link').symlink_to(tiny_crops)
    train = (tiny_crops / 'train.txt').read_text().splitlines()
    test = (tiny_crops / 'val.txt').read_text().splitlines()
    lists = {}
    for name, lines in (
        ('train', [f'{folder}/link/{line}' for line in train[:3]]),
        ('test', test[5:7]),
        ('twice', held_out.read_text().splitlines()[2:5]),
    ):
        lists[name] = folder / f'{name}_held.txt'
        lists[name].write_text('\n'.join(lines) + '\n' + held_out.read_text())
    return lists


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('train', r'3 of 99 held-out images are in the training list of the config.*not trained'),
        ('test', r'2 of 98 held-out images are in the test list of the config.*not tested on'),
        ('twice', r'twice_held\.txt: 3 images are there more than once, the first is .*each once'),
    ],
)
def test_images_of_training_and_test_are_refused(
    config, tiny_crops, held_out, tmp_path, name, message
):
    lists = shared_lists(tiny_crops, held_out, tmp_path)
    with pytest.raises(BadInputError, match=message):
        ClassifierData(config(), lists[name], None)


def test_a_training_list_that_is_given_is_the_one_that_is_checked(
    config, tiny_crops, held_out, tmp_path
):
    cfg = config()
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset
    )
    path = tmp_path / 'other.txt'
    path.write_text((tiny_crops / 'train.txt').read_text() + held_out.read_text())
    with pytest.raises(BadInputError, match=r'96 of 96 held-out images are in .*other\.txt'):
        ClassifierData(cfg, held_out, path)


def test_what_cannot_be_checked_is_said(config, tiny_crops, held_out, checkpoint, tmp_path):
    with pytest.warns(DataWarning, match='is the test list of the config'):
        ClassifierData(config(), tiny_crops / 'val.txt', None)
    cfg = config()
    cfg.train_dataloader.dataset.ann_file = 'elsewhere.txt'
    with pytest.warns(DataWarning, match='were trained on is not known.*elsewhere.txt'):
        sweep = swept(cfg, checkpoint(), held_out, SETTINGS[:1], tmp_path)
    assert sweep.frequency == ClassFrequency.from_annotation_file(tiny_crops / 'train.txt')
    with (
        pytest.warns(DataWarning),
        pytest.raises(BadInputError, match='no class statistics.*--train'),
    ):
        swept(cfg, checkpoint(statistics=False), held_out, SETTINGS[:1], tmp_path)


def test_statistics_are_those_of_the_checkpoint(config, checkpoint, held_out, tmp_path):
    with pytest.warns(DataWarning, match='not those of the training list: num_images 72 against'):
        sweep = swept(config(), checkpoint(counts=[9] * 8), held_out, SETTINGS[:2], tmp_path)
    assert sweep.frequency.image_count.tolist() == [9] * 8
    np.testing.assert_array_equal(sweep.predicted[0], sweep.predicted[1])  # no prior, no shift


def test_images_in_a_folder_of_their_own(config, held_out, tmp_path):
    folder, path = held_out.parent, tmp_path / 'held.txt'
    path.write_text(held_out.read_text().replace(f'{folder}/', ''))
    with pytest.raises(MissingFileError, match=r'held\.txt:\d+'):
        ClassifierData(config(), path, None)
    data = ClassifierData(config(), path, None, folder)
    paths, expected = (
        image_paths(DATASETS.build(each.config))
        for each in (data, ClassifierData(config(), held_out, None))
    )
    assert paths == expected and len(paths) == 96


def test_lists_that_cannot_be_used_are_named(config, tiny_crops, held_out, checkpoint, tmp_path):
    path = tmp_path / 'list.txt'
    for content, message in (
        ('', 'list.txt is empty'),
        (
            held_out.read_text() + f'{tiny_crops}/val/x.png 8\n',
            'list.txt:97 has label 8, expected 0..7',
        ),
        (held_out.read_text() + 'nowhere.png 1\n', r'list.txt:97: image .*nowhere.png is missing'),
    ):
        path.write_text(content)
        with pytest.raises((BadInputError, MissingFileError), match=message):
            ClassifierData(config(), path, None)
    with pytest.raises(MissingFileError, match='list .*no.txt does not exist'):
        ClassifierData(config(), tmp_path / 'no.txt', None)
    cfg = config()
    cfg.test_dataloader.dataset = dict(type='CIFAR10', data_root=str(tmp_path), pipeline=[])
    with pytest.raises(BadInputError, match='cannot be read by a data set of type CIFAR10'):
        ClassifierData(cfg, held_out, None)
    count = ClassFrequency.from_annotation_file(tiny_crops / 'train.txt').image_count
    rows = held_out.read_text().splitlines()
    rows = [line for line in rows if count[int(line.split()[1])] >= 20]
    path.write_text('\n'.join(rows))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DataWarning)
        sweep = Sweep(SETTINGS[:1], ClassifierData(config(), path, None), ['macro', 'few'])
        with pytest.raises(BadInputError, match="'few' cannot be judged: none of the"):
            sweep.run(config(), checkpoint(), tmp_path / 'run')
