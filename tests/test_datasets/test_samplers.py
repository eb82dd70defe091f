from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler

from lt_det.datasets import LongTailSampler
from lt_det.datasets.samplers import class_probabilities
from lt_det.errors import BadInputError

COUNTS = np.array([400, 0, 100, 25])


class Labels(SimpleNamespace):
    def __len__(self):
        return len(self.labels)

    def get_gt_labels(self):
        return self.labels


@pytest.fixture
def dataset():
    return Labels(labels=np.repeat(np.arange(4), COUNTS))


@pytest.mark.parametrize(
    ('mode', 'epoch', 'expected'),
    [
        ('instance', 0, [400 / 525, 0, 100 / 525, 25 / 525]),
        ('square_root', 0, [20 / 35, 0, 10 / 35, 5 / 35]),
        ('class_balanced', 0, [1 / 3, 0, 1 / 3, 1 / 3]),
        ('progressive', 0, [400 / 525, 0, 100 / 525, 25 / 525]),
        ('progressive', 5, [(400 / 525 + 1 / 3) / 2, 0, (100 / 525 + 1 / 3) / 2, 8 / 21 / 2]),
        ('progressive', 10, [1 / 3, 0, 1 / 3, 1 / 3]),
        ('mixed', 7, [(400 / 525 + 1 / 3) / 2, 0, (100 / 525 + 1 / 3) / 2, 8 / 21 / 2]),
    ],
)
def test_probabilities_and_draws(dataset, mode, epoch, expected):
    np.testing.assert_allclose(class_probabilities(COUNTS, mode, epoch, 10), expected, rtol=1e-12)
    sampler = LongTailSampler(dataset, mode, max_epochs=10, seed=0)
    sampler.set_epoch(epoch)
    runs = [dataset.labels[list(sampler)]]
    for seed in range(1, 40):
        sampler.seed = seed
        runs.append(dataset.labels[list(sampler)])
    drawn = np.bincount(np.concatenate(runs), minlength=4) / (40 * 525)
    np.testing.assert_allclose(drawn, expected, atol=0.02)


def test_images_of_a_class_are_equally_likely(dataset):
    sampler = LongTailSampler(dataset, 'class_balanced', seed=0)
    counts = np.zeros(525)
    for epoch in range(60):
        sampler.set_epoch(epoch)
        np.add.at(counts, list(sampler), 1)
    rarest = counts[-25:]  # 60 * 175 draws of 25 images
    assert abs(rarest.mean() - 420) < 15 and rarest.std() < 2 * np.sqrt(420)


def test_order_depends_on_seed_and_epoch_alone(dataset):
    first, second = (LongTailSampler(dataset, 'square_root', seed=3) for _ in range(2))
    assert list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)


def test_instance_and_deferred_are_the_stock_sampler_at_first(dataset):
    stock = DefaultSampler(dataset, seed=1)
    assert list(LongTailSampler(dataset, 'instance', seed=1)) == list(stock)
    deferred = LongTailSampler(dataset, 'class_balanced', begin=2, seed=1)
    for epoch, same in enumerate([True, True, False]):
        stock.set_epoch(epoch)
        deferred.set_epoch(epoch)
        assert (list(deferred) == list(stock)) == same


def test_two_processes_share_an_epoch(dataset, monkeypatch):
    whole = list(LongTailSampler(dataset, seed=2))
    parts = []
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2))
        sampler = LongTailSampler(dataset, seed=2)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler) == 263
    mixed = [index for pair in zip(*parts, strict=True) for index in pair]
    assert len(mixed) == 526 and len(set(mixed) & set(whole)) > 100


def test_bad_arguments(dataset):
    with pytest.raises(BadInputError, match="mode is 'cls', expected one of"):
        LongTailSampler(dataset, 'cls')
    with pytest.raises(BadInputError, match='max_epochs is None, expected'):
        LongTailSampler(dataset, 'progressive')

    class Two:
        def __len__(self):
            return 1

        def get_cat_ids(self, index):
            return [0, 1]

    with pytest.raises(BadInputError, match='item 0 of Two has 2 labels'):
        LongTailSampler(Two())
