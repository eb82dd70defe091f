import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import RepeatDataset
from mmpretrain.datasets import CustomDataset

from lt_det.datasets import ListFileDataset
from lt_det.engine.first_images_hook import check_first_images
from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency


def write(folder: Path, text: str) -> str:
    path = folder / 'list.txt'
    path.write_text(text)
    return str(path)


def test_items_are_those_of_mmpretrain(tiny_crops):
    arguments = dict(data_root=str(tiny_crops), ann_file='train.txt', pipeline=[])
    ours = ListFileDataset(num_classes=8, **arguments)
    theirs = CustomDataset(**arguments)
    assert len(ours) == len(theirs)
    for index in (0, 1, len(ours) - 1):
        assert ours[index] == theirs[index]
    np.testing.assert_array_equal(ours.get_gt_labels(), theirs.get_gt_labels())
    frequency = ClassFrequency.from_dataset(ours)
    assert frequency == ClassFrequency.from_annotation_file(tiny_crops / 'train.txt')
    assert frequency.image_count.max() == 120 and frequency.image_count.min() == 2


def test_subset_and_its_statistics(tiny_crops):
    build = dict(data_root=str(tiny_crops), ann_file='train.txt', num_classes=8)
    whole = ListFileDataset(**build)
    chosen = [5, 0, 17]
    for part in (ListFileDataset(indices=chosen, **build), whole.get_subset(chosen)):
        assert [part[i]['img_path'] for i in range(3)] == [whole[i]['img_path'] for i in chosen]
        assert part.class_frequency.num_images == 3
    assert whole[-1]['img_path'] == whole[len(whole) - 1]['img_path']


def test_image_folder_of_mmpretrain_has_statistics(tiny_crops, tmp_path):
    for line in (tiny_crops / 'train.txt').read_text().splitlines()[::9]:
        path, label = line.split()
        (tmp_path / f'class_{label}').mkdir(exist_ok=True)
        (tmp_path / f'class_{label}' / Path(path).name).symlink_to(tiny_crops / path)
    dataset = CustomDataset(data_prefix=str(tmp_path), pipeline=[])
    frequency = ClassFrequency.from_dataset(dataset)
    expected = [len(list(folder.iterdir())) for folder in sorted(tmp_path.iterdir())]
    assert frequency.image_count.tolist() == expected
    assert frequency.class_names == tuple(sorted(path.name for path in tmp_path.iterdir()))


def test_list_of_places(places_list):
    rows = [line.split() for line in places_list.read_text().splitlines()]
    counts = Counter(int(label) for _, label in rows)
    dataset = ListFileDataset(str(places_list), num_classes=len(counts), data_prefix='data/places')
    assert [item['img_path'] for item in map(dataset.get_data_info, range(len(dataset)))] == [
        f'data/places/{path}' for path, _ in rows
    ]
    sizes = [counts[label] for label in range(len(counts))]
    groups = ['many' if n > 100 else 'few' if n < 20 else 'medium' for n in sizes]
    assert list(dataset.class_frequency.groups('shot')) == groups
    assert set(groups) == {'many', 'medium', 'few'}


def test_paths_with_spaces_blank_lines_and_foreign_line_ends(tmp_path):
    path = write(tmp_path, 'a b/c d.jpg 1\r\n\n  \nü.jpg\t0')
    dataset = ListFileDataset(path, num_classes=2)
    assert [item['img_path'] for item in dataset] == ['a b/c d.jpg', 'ü.jpg']
    assert [item['gt_label'] for item in dataset] == [1, 0]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a.jpg 0\n\nb.jpg\n', r'list\.txt:3 is "b\.jpg", expected "relative/path label"'),
        ('a.jpg 0\nb.jpg x\n', r'list\.txt:2 is "b\.jpg x"'),
        ('a.jpg 0\n\nb.jpg 3\n', r'list\.txt:3 has label 3, expected 0\.\.2'),
        ('a.jpg -1\n', r'list\.txt:1 has the negative label -1'),
        ('\n', 'is empty'),
    ],
)
def test_bad_line(tmp_path, text, message):
    with pytest.raises(BadInputError, match=message):
        ListFileDataset(write(tmp_path, text), num_classes=3)


@pytest.mark.parametrize(
    ('names', 'message'),
    [('a\n\nc\n', 'the name of class 1 is empty'), ('a\nb\na\n', 'classes 0 and 2 have the same')],
)
def test_classes_are_told_apart_by_their_names(tmp_path, names, message):
    path, file = write(tmp_path, 'a.jpg 0\n'), tmp_path / 'names.txt'
    file.write_text(names)
    for given in (dict(classes=str(file)), dict(metainfo=dict(classes=names.split('\n')[:3]))):
        with pytest.raises(BadInputError, match=f'classes of the data set of .*{message}'):
            ListFileDataset(path, **given)


def test_missing_files(tmp_path, tiny_crops):
    with pytest.raises(MissingFileError, match=r'gone\.txt does not exist'):
        ListFileDataset('gone.txt', num_classes=3)
    with pytest.raises(MissingFileError, match=r'class names .*names\.txt does not exist'):
        ListFileDataset('gone.txt', classes=str(tmp_path / 'names.txt'))
    with pytest.raises(BadInputError, match='needs num_classes or classes'):
        ListFileDataset('gone.txt')
    lines = (tiny_crops / 'train.txt').read_text().splitlines()[:3]
    path = write(tmp_path, '\n'.join([*lines, '', 'train/gone.png 1']))
    build = dict(data_prefix=str(tiny_crops), check_images=True, num_classes=8)
    with pytest.raises(MissingFileError, match=r'list\.txt:5: image .*train/gone\.png is missing'):
        ListFileDataset(path, **build)
    classes = str(tiny_crops / 'classes.txt')
    with pytest.raises(BadInputError, match='num_classes=9, but 8 class names'):
        ListFileDataset(path, classes=classes, num_classes=9)


def test_a_run_looks_for_the_first_images(tiny_crops, tmp_path):
    lines = (tiny_crops / 'train.txt').read_text().splitlines()
    path = write(tmp_path, '\n'.join([lines[0], '', ' train/gone.png 1 ', *lines[1:]]))

    def check(pipeline=(dict(type='LoadImageFromFile'),), folder=tiny_crops, **more) -> None:
        build = dict(data_prefix=str(folder), num_classes=8, pipeline=pipeline, **more)
        dataset = RepeatDataset(ListFileDataset(path, **build), 2)
        check_first_images(dataset, 'val_dataloader.dataset')

    message = r'list\.txt:3: image .*train/gone\.png does not exist; .*of val_dataloader\.dataset'
    for indices in (None, [5, 1]):
        with pytest.raises(MissingFileError, match=message):
            check(indices=indices)
    check(indices=[0, 2, 3, 1])
    check(pipeline=())
    remote = dict(type='LoadImageFromFile', backend_args=dict(backend='local'))
    check(pipeline=[remote], folder='nowhere')
    folder = CustomDataset(
        data_root=str(tiny_crops), ann_file='val.txt', data_prefix='vla', pipeline=[remote]
    )
    check_first_images(folder, 'val_dataloader.dataset')
    folder.pipeline.transforms[0].backend_args = None
    with pytest.raises(MissingFileError, match=r"val\.txt, item 0: image .*data_prefix=.*'.*vla'"):
        check_first_images(folder, 'val_dataloader.dataset')


# getrusage has the peak of the parent too
MEASURE = """
import re, sys
from pathlib import Path
from lt_det.datasets import ListFileDataset
def peak():
    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])
before = peak()
dataset = ListFileDataset(sys.argv[1], num_classes=8142)
print(peak() - before)
print(len(dataset), dataset[437512]['gt_label'])
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads the peak of memory from /proc')
def test_list_of_the_size_of_inaturalist(tmp_path):
    """437,513 lines in at most 150 MB."""
    name = 'train_val2018/Plantae/{0}/3b60c9486db1d2ee875f11a669fb{1:08x}.jpg {0}\n'
    path = write(tmp_path, ''.join(name.format(i % 8142, i) for i in range(437_513)))
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', MEASURE, path]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    grown, size = result.stdout.splitlines()[-2:]
    assert 20e6 < int(grown) * 1024 < 150e6
    assert size == f'437513 {437_512 % 8142}'
