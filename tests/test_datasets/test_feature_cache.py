"""The feature cache: what it holds, and what it does when something is in its way."""

from __future__ import annotations

import json
import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS
from mmpretrain.utils import register_all_modules

from lt_det.datasets import feature_cache
from lt_det.datasets.feature_cache import FeatureCacheDataset, describe, state_key
from lt_det.errors import BadInputError

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=16),
    dict(type='PackInputs'),
]


@pytest.fixture
def images(tiny_crops):
    register_all_modules(init_default_scope=True)
    files = dict(data_root=str(tiny_crops), classes=str(tiny_crops / 'classes.txt'))
    return DATASETS.build(
        dict(type='ListFileDataset', ann_file='val.txt', pipeline=PIPELINE, **files)
    )


def corner(batch: dict) -> torch.Tensor:
    """Some 'features' (B, 6): the first two pixels."""
    return torch.stack([image[:, 0, :2].flatten().float() for image in batch['inputs']])


def test_items_are_those_of_the_images(images, tmp_path):
    dataset = FeatureCacheDataset(images, tmp_path / 'cache', views=3, seed=5)
    expected = {
        (view, index): dataset.image(index, view)['inputs'][:, 0, :2].flatten().float()
        for view in range(3)
        for index in range(len(dataset))
    }
    np.random.seed(1)
    before = [dataset.__getitems__([4, 0, 4])[k]['inputs'].shape for k in range(3)]
    assert before == [(3, 16, 16)] * 3
    assert dataset.open('w', corner, batch_size=7, num_workers=0)
    for (view, index), features in expected.items():
        np.testing.assert_array_equal(dataset.features[view, index], features)
    np.random.seed(1)
    drawn = np.random.randint(3, size=2)
    np.random.seed(1)
    items = dataset.__getitems__([4, 0])
    for item, view, index in zip(items, drawn, (4, 0), strict=True):
        assert torch.equal(item['inputs'], expected[view, index])
        assert item['data_samples'].gt_label.item() == images.get_gt_labels()[index]
    again = FeatureCacheDataset(images, tmp_path / 'cache', views=3, seed=5)
    assert not again.open('w', corner, batch_size=1, num_workers=0)
    copy = pickle.loads(pickle.dumps(again))
    assert isinstance(copy.features, np.memmap)
    np.testing.assert_array_equal(copy.features, dataset.features)
    assert len(pickle.dumps(again)) < again.features.nbytes + 20_000


def test_views_depend_on_the_seed_alone_and_leave_the_random_state(images, tmp_path):
    dataset = FeatureCacheDataset(images, tmp_path, views=50)
    states = random.random(), np.random.rand(), torch.rand(1)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    first = dataset.image(3, 1)['inputs']
    after = random.random(), np.random.rand(), torch.rand(1)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    assert after == (random.random(), np.random.rand(), torch.rand(1)) != states
    assert torch.equal(dataset.image(3, 1)['inputs'], first)
    views = {dataset.image(3, view)['inputs'].numpy().tobytes() for view in range(50)}
    assert len(views) > 25
    other = FeatureCacheDataset(images, tmp_path, views=50, seed=1)
    assert not all(
        torch.equal(other.image(3, v)['inputs'], dataset.image(3, v)['inputs']) for v in range(5)
    )


def test_an_interruption_leaves_no_cache(images, tmp_path):
    dataset = FeatureCacheDataset(images, tmp_path / 'cache')
    calls = []

    def fails(batch):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return corner(batch)

    with pytest.raises(KeyboardInterrupt):
        dataset.open('w', fails, batch_size=4, num_workers=0)
    assert not (tmp_path / 'cache').exists() and dataset.features is None
    assert dataset.open('w', corner, batch_size=4, num_workers=0)
    assert [path.name for path in tmp_path.iterdir()] == ['cache']


def test_processes_without_an_image_take_part(images, tmp_path, monkeypatch):
    """Threads in place of processes; two of the three have nothing to compute."""
    rank, meeting = threading.local(), threading.Barrier(3, timeout=20)
    monkeypatch.setattr(feature_cache, 'get_rank', lambda: rank.number)
    monkeypatch.setattr(feature_cache, 'get_world_size', lambda: 3)
    monkeypatch.setattr(feature_cache, 'barrier', meeting.wait)
    one = images.get_subset([4])

    def features(number: int) -> np.ndarray:
        rank.number = number
        dataset = FeatureCacheDataset(one, tmp_path / 'cache')
        assert dataset.open('w', corner, batch_size=2, num_workers=0)
        return dataset.features

    with ThreadPoolExecutor(3) as threads:
        first, *others = threads.map(features, range(3))
    assert first.shape == (1, 1, 6) and first.any()
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_what_is_no_cache_of_these_weights_and_data_is_refused(images, tmp_path, monkeypatch):
    loading = dict(batch_size=32, num_workers=0)
    folder = tmp_path / 'cache'
    FeatureCacheDataset(images, folder).open('w', corner, **loading)
    with pytest.raises(BadInputError, match=r'cache holds features of other weights \(w, now v\)'):
        FeatureCacheDataset(images, folder).open('v', corner, **loading)
    for kwargs in (dict(seed=1), dict(views=2), dict(dtype='float16')):
        with pytest.raises(BadInputError, match='holds features of other data'):
            FeatureCacheDataset(images, folder, **kwargs).open('w', corner, **loading)
    assert FeatureCacheDataset(images, folder, replace=True).open('v', corner, **loading)
    (folder / 'features.npy').write_bytes((folder / 'features.npy').read_bytes()[:-9])
    with pytest.raises(BadInputError, match=r'features.npy has the digest \w{12}, expected \w{12}'):
        FeatureCacheDataset(images, folder).open('v', corner, **loading)
    (folder / 'cache.json').write_text('{')
    with pytest.raises(BadInputError, match='holds features of other weights'):
        FeatureCacheDataset(images, folder).open('v', corner, **loading)
    (folder / 'cache.json').unlink()
    with pytest.raises(BadInputError, match=r'is no feature cache \(cache.json is missing\)'):
        FeatureCacheDataset(images, folder, replace=True).open('v', corner, **loading)
    for kwargs, message in (
        (dict(views=0), 'views is 0'),
        (dict(dtype='int8'), "dtype is 'int8'"),
    ):
        with pytest.raises(BadInputError, match=message):
            FeatureCacheDataset(images, folder, **kwargs)
    with pytest.raises(BadInputError, match='features of list cannot be cached'):
        FeatureCacheDataset([], folder)
    monkeypatch.setattr(type(images), '__len__', lambda self: 0)
    with pytest.raises(BadInputError, match='ListFileDataset has no image, expected some'):
        FeatureCacheDataset(images, folder)


def test_features_of_which_a_bit_has_changed(images, tmp_path):
    loading = dict(batch_size=32, num_workers=0)
    folder = tmp_path / 'cache'
    good = FeatureCacheDataset(images, folder)
    good.open('w', corner, **loading)
    expected = np.array(good.features)
    path = folder / 'features.npy'
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInputError, match=r'features.npy has the digest .* delete .*cache to'):
        FeatureCacheDataset(images, folder).open('w', corner, **loading)
    again = FeatureCacheDataset(images, folder, replace=True)
    assert again.open('w', corner, **loading)
    np.testing.assert_array_equal(again.features, expected)
    assert not FeatureCacheDataset(images, folder).open('w', corner, **loading)


def test_features_without_a_digest_are_read_where_they_fit(images, tmp_path):
    """As caches of earlier versions are."""
    loading = dict(batch_size=32, num_workers=0)
    folder = tmp_path / 'cache'
    FeatureCacheDataset(images, folder).open('w', corner, **loading)
    mark = json.loads((folder / 'cache.json').read_text())
    del mark['sha256']
    (folder / 'cache.json').write_text(json.dumps(mark))
    assert not FeatureCacheDataset(images, folder).open('w', corner, **loading)
    (folder / 'features.npy').write_bytes((folder / 'features.npy').read_bytes()[:-9])
    with pytest.raises(BadInputError, match=r'features.npy cannot be read'):
        FeatureCacheDataset(images, folder).open('w', corner, **loading)


class Pick:
    """A transform whose repr leaves its option out."""

    def __init__(self, row: int) -> None:
        self.row = row

    def __call__(self, item: dict) -> dict:
        return item

    def __repr__(self) -> str:
        return 'Pick()'


def test_key_of_the_data_has_all_options_of_the_pipeline(images, tmp_path):
    def key(*transforms) -> str:
        images.pipeline.transforms[2:] = transforms
        return FeatureCacheDataset(images, tmp_path / 'cache').data_key()

    keys = [key(Pick(1)), key(Pick(2)), key(lambda item: item), key(Pick(1), Pick(1)), key()]
    assert len(set(keys)) == 5
    assert key(Pick(1)) == keys[0]
    assert describe(Pick(np.arange(2))) == f"{__name__}.Pick{{'row': [0, 1]}}"
    loop = Pick(0)
    loop.row = [loop]
    assert describe(loop).endswith("Pick{'row': [...]}")


def test_key_of_a_state():
    state = dict(a=torch.arange(4.0), b=torch.tensor(3))
    assert state_key(state, 'fp32') == state_key(dict(reversed(state.items())), 'fp32')
    others = [
        (dict(state, a=torch.tensor([0.0, 1, 2, 4])), 'fp32'),
        (dict(state, a=torch.arange(4.0).reshape(2, 2)), 'fp32'),
        (dict(state, c=torch.tensor(3)), 'fp32'),
        (state, 'bf16'),
    ]
    assert len({state_key(*other) for other in [(state, 'fp32'), *others]}) == 5
