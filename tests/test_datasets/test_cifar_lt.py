"""CIFAR-LT on archives of the standard layout with random pixels."""

import pickle
import tarfile

import numpy as np
import pytest

from lt_det.datasets import CIFAR10LT, CIFAR100LT
from lt_det.datasets.imbalance import long_tail_counts, long_tail_subset
from lt_det.errors import BadInputError, MissingFileError


@pytest.mark.parametrize(
    ('classes', 'most', 'totals'),
    [(10, 5000, [20_431, 13_996, 12_406]), (100, 500, [19_573, 12_608, 10_847])],
)
def test_published_totals(classes, most, totals):
    for factor, total in zip([10, 50, 100], totals, strict=True):
        counts = long_tail_counts(most, classes, factor)
        assert counts.sum() == total
        assert counts[0] == most and counts[-1] == most // factor
        naive = [int(most * factor ** (-i / (classes - 1))) for i in range(classes)]
        assert counts.tolist() == naive
    assert long_tail_counts(most, classes, 1).tolist() == [most] * classes


def test_step_and_bad_values():
    assert long_tail_counts(500, 4, 10, 'step').tolist() == [500, 500, 50, 50]
    with pytest.raises(BadInputError, match=r'imbalance factor is 0\.01, expected .* >= 1'):
        long_tail_counts(500, 4, 0.01)
    with pytest.raises(BadInputError, match="shape is 'linear', expected one of"):
        CIFAR10LT(data_root='x', imbalance_shape='linear')


def test_subset_is_drawn_without_replacement_by_seed():
    labels = np.arange(60) % 3
    counts = np.array([20, 7, 1])
    chosen = long_tail_subset(labels, counts, 0)
    assert len(np.unique(chosen)) == len(chosen) == 28
    assert np.bincount(labels[chosen]).tolist() == counts.tolist()
    np.testing.assert_array_equal(chosen, long_tail_subset(labels, counts, 0))
    assert chosen.tolist() != long_tail_subset(labels, counts, 1).tolist()


@pytest.fixture
def archive(tmp_path):
    """CIFAR-100's files with 20 images a class; their MD5 is not the published one."""
    folder = tmp_path / 'cifar-100-python'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, number in (('train', 2000), ('test', 200)):
        labels = (np.arange(number) % 100).tolist()
        pixels = rng.integers(0, 255, (number, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps(dict(data=pixels, fine_labels=labels)))
    (folder / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=[])))
    return tmp_path


class Unchecked(CIFAR100LT):
    train_list = [['train', None]]
    test_list = [['test', None]]
    meta = dict(filename='meta', key='fine_label_names', md5=None)
    tgz_md5 = None


def test_training_is_long_tailed_and_testing_whole(archive):
    train = Unchecked(data_root=str(archive), imbalance_factor=10)
    counts = np.bincount(train.get_gt_labels())
    assert counts.tolist() == long_tail_counts(20, 100, 10).tolist()
    assert train[0]['img'].shape == (32, 32, 3)
    other = Unchecked(data_root=str(archive), imbalance_factor=10, seed=1)
    assert not np.array_equal(train[0]['img'], other[0]['img']) or len(train) == len(other)
    assert len(Unchecked(data_root=str(archive), split='test')) == 200


def test_packed_archive_is_unpacked(archive, tmp_path):
    with tarfile.open(tmp_path / 'new.tar.gz', 'w:gz') as tar:
        tar.add(archive / 'cifar-100-python', 'cifar-100-python')
    root = tmp_path / 'packed'
    root.mkdir()
    (tmp_path / 'new.tar.gz').rename(root / CIFAR100LT.filename)
    assert len(Unchecked(data_root=str(root), split='test')) == 200


def test_cut_off_or_missing_file_is_named(archive):
    with pytest.raises(BadInputError, match=r'cifar-100-python/train \(\d+ bytes\) is cut off'):
        CIFAR100LT(data_root=str(archive))
    (archive / 'cifar-100-python' / 'train').unlink()
    with pytest.raises(MissingFileError, match=r'cifar-100-python/train does not exist'):
        Unchecked(data_root=str(archive))
