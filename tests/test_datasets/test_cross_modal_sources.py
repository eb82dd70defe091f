"""The readers of NUS-WIDE and VireoFood-172 on small folders in their published layout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lt_det.datasets import CrossModalDataset
from lt_det.datasets.cross_modal_sources import (
    Split,
    long_tailed,
    read_nus_wide,
    read_vireofood172,
)
from lt_det.errors import BadInputError, MissingFileError

TOOL = Path(__file__).resolve().parents[2] / 'tools/dataset/make_cross_modal.py'


@pytest.fixture
def vireo(tmp_path):
    folder = tmp_path / 'SplitAndIngreLabel'
    folder.mkdir()
    (folder / 'FoodList.txt').write_text('Braised Pork\nFried Rice\n')
    (folder / 'IngredientList.txt').write_text('pork\ngreen onion\nrice\n')
    (folder / 'TR.txt').write_text('/1/1_0.jpg\n/1/1_1.jpg\n/1/1_2.jpg\n/1/1_3.jpg\n/2/2_0.jpg\n')
    (folder / 'VAL.txt').write_text('/2/2_7.jpg\n')
    (folder / 'TE.txt').write_text('/2/2_8.jpg\n/1/1_9.jpg\n')
    rows = '/1/1_0.jpg 1 -1 0\n/1/1_1.jpg 1 1 0\n/2/2_0.jpg 0 0 1\n/2/2_8.jpg 0 1 1\n'
    (folder / 'IngreLabel.txt').write_text(rows)
    return tmp_path


def write_nus(root: Path) -> None:
    """Ten photos and three concepts; concept 'sky' has no test image alone."""
    photos = {
        'Train': dict(a='sky', b='dog', c='dog car', d='car', e='car', f=''),
        'Test': dict(g='dog', h='car', i='car dog', j='car'),
    }
    tags = dict(a='blue', b='cute animal', c='road', d='road noise road', e='', g='cute', h='road')
    files: dict[str, list[str]] = {'ImageList/Imagelist.txt': [], 'NUS_WID_Tags/All_Tags.txt': []}
    for split, shown in photos.items():
        found = shown.items()
        names = [f'folder\\{i:04d}_{ord(p)}.jpg' for i, (p, _) in enumerate(found)]
        files[f'ImageList/{split}Imagelist.txt'] = names
        files['ImageList/Imagelist.txt'] += names
        files['NUS_WID_Tags/All_Tags.txt'] += [f'{ord(p)}  {tags.get(p, "")}' for p, _ in found]
        for concept in ('sky', 'dog', 'car'):
            path = f'Groundtruth/TrainTestLabels/Labels_{concept}_{split}.txt'
            files[path] = [str(int(concept in some.split())) for _, some in found]
    files['ConceptsList/Concepts81.txt'] = ['sky', 'dog', 'car']
    files['NUS_WID_Tags/TagList1k.txt'] = ['road', 'cute', 'blue']
    for name, lines in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('\n'.join(lines) + '\n')


def test_vireofood(vireo):
    source = read_vireofood172(vireo)
    assert source.classes == ['Braised Pork', 'Fried Rice']
    assert source.vocabulary == ['pork', 'green onion', 'rice']
    train, test = source.splits['train'], source.splits['test']
    assert train.paths[0] == 'ready_chinese_food/1/1_0.jpg'
    assert train.labels.tolist() == [0, 0, 0, 0, 1] and test.labels.tolist() == [1, 0]
    assert train.words == [['pork'], ['pork', 'green onion'], [], [], ['rice']]
    assert test.words == [['green onion', 'rice'], []]


def test_nus_wide_keeps_images_of_one_concept(tmp_path):
    write_nus(tmp_path)
    source = read_nus_wide(tmp_path, fewest=1)
    assert source.classes == ['dog', 'car']
    train, test = source.splits['train'], source.splits['test']
    assert train.paths == [
        f'Flickr/folder/{name}.jpg' for name in ('0001_98', '0003_100', '0004_101')
    ]
    assert train.labels.tolist() == [0, 1, 1] and test.labels.tolist() == [0, 1, 1]
    assert train.words == [['cute'], ['road'], []] and test.words == [['cute'], ['road'], []]
    with pytest.raises(BadInputError, match='no concept has 5 images'):
        read_nus_wide(tmp_path)


@pytest.mark.parametrize('factor', [1, 10, 100])
def test_long_tailed_subset(factor):
    present = [30, 200, 90, 60]
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), present))
    split = Split([f'{i}.jpg' for i in range(380)], labels, [[str(i)] for i in range(380)])
    part = long_tailed(split, factor, seed=3)
    for label, rank in ((1, 0), (2, 1), (3, 2), (0, 3)):
        wanted = int(200 * factor ** (-rank / 3))
        assert (part.labels == label).sum() == min(present[label], wanted)
    for path, label, words in zip(part.paths, part.labels, part.words):
        index = int(path.split('.')[0])
        assert split.labels[index] == label and words == [str(index)]
    assert len(set(part.paths)) == len(part.paths)
    assert long_tailed(split, factor, seed=3).paths == part.paths
    if factor > 1:
        assert long_tailed(split, factor, seed=4).paths != part.paths
    with pytest.raises(BadInputError, match=r'imbalance factor is 0\.5'):
        long_tailed(split, 0.5)


def test_tool_writes_lists_that_the_data_set_reads(vireo):
    command = [sys.executable, str(TOOL), 'vireofood172', '--root', str(vireo), '--imbalance', '2']
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '2 classes of 4 to 1 training images, 3 words; images: 5 train, 1 val' in result.stdout
    lists = vireo / 'lt2'
    dataset = CrossModalDataset(
        'lt2/train.txt',
        vocabulary=str(lists / 'words.txt'),
        word_file='lt2/train_words.txt',
        classes=str(lists / 'classes.txt'),
        data_root=str(vireo),
    )
    assert dataset.CLASSES == ('Braised Pork', 'Fried Rice')
    assert [item['words'].tolist() for item in dataset] == [[0], [0, 1], [], [], [2]]
    assert dataset[0]['img_path'] == f'{vireo}/ready_chinese_food/1/1_0.jpg'
    (vireo / 'SplitAndIngreLabel/VAL.txt').unlink()
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith('VAL.txt does not exist')


def test_files_that_do_not_fit(vireo, tmp_path):
    rows = vireo / 'SplitAndIngreLabel/IngreLabel.txt'
    rows.write_text('/1/1_0.jpg 1 0 0\n/1/1_1.jpg 1 0\n')
    with pytest.raises(BadInputError, match=r'IngreLabel\.txt:2 has 2 values, .* the 3 ingred'):
        read_vireofood172(vireo)
    rows.write_text('')
    (vireo / 'SplitAndIngreLabel/TE.txt').write_text('/3/3_0.jpg\n')
    with pytest.raises(BadInputError, match=r'TE\.txt has classes 3\.\.3, FoodList\.txt names 2'):
        read_vireofood172(vireo)
    write_nus(tmp_path)
    tags = tmp_path / 'NUS_WID_Tags/All_Tags.txt'
    lines = tags.read_text().splitlines()
    tags.write_text('\n'.join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(BadInputError, match=r'All_Tags\.txt:1 is of photo 98, Imagelist\.txt has'):
        read_nus_wide(tmp_path, 1)
    tags.write_text('\n'.join(lines[:-1]))
    with pytest.raises(BadInputError, match=r'All_Tags\.txt has 9 lines, Imagelist\.txt has 10'):
        read_nus_wide(tmp_path, 1)
    tags.unlink()
    with pytest.raises(MissingFileError, match=r'All_Tags\.txt does not exist'):
        read_nus_wide(tmp_path, 1)
