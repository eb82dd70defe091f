"""Joined, repeated and partial data sets count as one file that holds all does."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import Subset

from lt_det.adjustments.box_dimension import box_dimension_of
from lt_det.dataset_parts import items_of
from lt_det.datasets import LongTailSampler, RepeatFactorDataset
from lt_det.engine import FederatedLabelsHook
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.losses.federated import FederatedLoss

NAMES = ('a', 'b', 'c', 'd')


def content(first: int, labels: list[list[int]], names=NAMES, ids=None) -> dict:
    """An LVIS json of images numbered from ``first`` with a box for each label, or none."""
    ids = ids or list(range(1, len(names) + 1))
    rng = np.random.default_rng(first)
    boxes = [(i, label) for i, of_image in enumerate(labels) for label in of_image]
    return dict(
        images=[
            dict(
                id=first + i,
                width=100,
                height=80,
                file_name=f'{i}.png',
                neg_category_ids=[],
                not_exhaustive_category_ids=[],
            )
            for i in range(len(labels))
        ],
        categories=[dict(id=id, name=name) for id, name in zip(ids, names)],
        annotations=[
            dict(
                id=number + 1000 * first,
                image_id=first + i,
                category_id=ids[label],
                bbox=[*rng.uniform(0, 40, 2).round(2).tolist(), 20, 10],
                area=200,
                iscrowd=0,
            )
            for number, (i, label) in enumerate(boxes, 1)
        ],
    )


def joined_content(parts: list[dict]) -> dict:
    lists = {key: [e for part in parts for e in part[key]] for key in ('images', 'annotations')}
    return dict(lists, categories=parts[0]['categories'])


@pytest.fixture
def build(tmp_path):
    """Data sets of contents, under MMDetection's scope."""
    with DefaultScope.overwrite_default_scope('mmdet'):

        def config(name: str, part: dict, **more) -> dict:
            path = tmp_path / f'{name}.json'
            path.write_text(json.dumps(part))
            more.setdefault('filter_cfg', dict(filter_empty_gt=False))
            return dict(
                type='LongTailLVISDataset',
                ann_file=str(path),
                pipeline=[],
                check_images=False,
                cache=False,
                **more,
            )

        yield config


def joined(*parts: dict) -> dict:
    return dict(type='ConcatDataset', datasets=list(parts))


labels_of_image = st.lists(st.integers(0, 3), max_size=3)
# a training file has at least one annotation
labels_of_file = st.lists(labels_of_image, min_size=1, max_size=6).filter(any)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.tuples(*[labels_of_file] * 3), st.sampled_from([0.2, 0.5, 1.0]))
def test_joined_files_are_one_file(build, labels, threshold):
    contents = [content(100 * (n + 1), part) for n, part in enumerate(labels)]
    whole = DATASETS.build(build('whole', joined_content(contents)))
    first, second, third = (build(f'part{n}', part) for n, part in enumerate(contents))
    # MMDetection's own join takes no join in its second place
    once = dict(type='RepeatDataset', times=1, dataset=joined(first, second))
    parts = DATASETS.build(joined(once, third))
    assert len(parts) == len(whole)
    assert ClassFrequency.from_dataset(parts) == ClassFrequency.from_dataset(whole)
    np.testing.assert_array_equal(box_dimension_of(parts), box_dimension_of(whole))
    ours = RepeatFactorDataset(parts, threshold)
    assert ours.repeat_indices == RepeatFactorDataset(whole, threshold).repeat_indices
    # the formula, with the images without annotations among the N and their factor 1
    images = [image for part in labels for image in part]
    share = [sum(c in image for image in images) / len(images) for c in range(4)]
    factors = [max([1, *(np.sqrt(threshold / share[c]) for c in image)]) for image in images]
    np.testing.assert_allclose(ours._get_repeat_factors(parts, threshold), factors)


def test_repetition_is_in_the_factors_and_not_in_the_statistics(build):
    common, rare = [[0], [0], [0, 1], []], [[1], []]
    first, second = build('first', content(1, common)), build('second', content(9, rare))
    twice = dict(type='RepeatDataset', times=2, dataset=first)
    balanced = dict(type='RepeatFactorDataset', oversample_thr=1.0, dataset=second)
    wrapped = DATASETS.build(joined(twice, balanced))
    items = items_of(wrapped)
    # b is in 1 of the 2 images of the second file: ceil(sqrt(1 / 0.5)) = 2
    assert items.part.tolist() == [0] * 8 + [1] * 3
    assert items.index.tolist() == [0, 1, 2, 3] * 2 + [0, 0, 1]
    assert ClassFrequency.from_dataset(wrapped) == ClassFrequency(
        [3, 2, 0, 0], [3, 2, 0, 0], num_images=6
    )
    # 11 items are shown, a in 6 of them and b in 4
    factors = RepeatFactorDataset(wrapped, 1.0)._get_repeat_factors(wrapped, 1.0)
    a, b = np.sqrt(11 / 6), np.sqrt(11 / 4)
    np.testing.assert_allclose(factors, [a, a, b, 1, a, a, b, 1, b, b, 1])


def test_subset_counts_what_it_shows(build):
    whole = DATASETS.build(build('whole', content(1, [[0, 0], [0, 1], [], [2], [3]])))
    part = Subset(whole, [4, 0, 2, 0])
    assert ClassFrequency.from_dataset(part) == ClassFrequency([1, 0, 0, 1], [2, 0, 0, 1], 3)
    # of four items a is in two and d in one
    assert RepeatFactorDataset(part, 0.9).repeat_indices == [0, 0, 1, 1, 2, 3, 3]
    assert box_dimension_of(part).tolist() == [1.0] * 4
    assert items_of(Subset(part, [1, 3])).index.tolist() == [0, 0]


def test_parts_that_number_their_classes_differently(build):
    first = build('first', content(1, [[0], [1, 2, 3]]))
    swapped = build('second', content(9, [[0], [1]], names='bacd'))
    other = build('third', content(9, [[0], [1]], names='abcx'))
    for part, message in (
        (swapped, r"class 0 is 'a' in .*first.json and 'b' in .*second.json; give both the same"),
        (other, r"first.json has 'd', which .*third.json does not have; expected the same classes"),
    ):
        data = DATASETS.build(joined(first, dict(type='RepeatDataset', times=2, dataset=part)))
        for work in (
            ClassFrequency.from_dataset,
            box_dimension_of,
            lambda data: RepeatFactorDataset(data, 0.5),
        ):
            with pytest.raises(BadInputError, match=message):
                work(data)
    # by name it is the same class again
    swapped['metainfo'] = dict(classes=NAMES)
    found = ClassFrequency.from_dataset(DATASETS.build(joined(first, swapped)))
    assert found == ClassFrequency([2, 2, 1, 1], num_images=4)


def test_federated_lists_of_joined_files(build):
    first, second = (build(f'f{n}', content(n, [[0], [1, 2, 3]])) for n in (1, 9))
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=DATASETS.build(joined(first, second))),
        model=FederatedLoss(4),
    )
    hook = FederatedLabelsHook()
    hook.before_train(runner)
    assert hook._label == {1: 0, 2: 1, 3: 2, 4: 3}
    renumbered = build('other', content(20, [[0]], ids=[5, 6, 7, 8]))
    runner.train_dataloader.dataset = DATASETS.build(joined(first, renumbered))
    with pytest.raises(BadInputError, match=r'ids of the categories in .*f1.json and .*other.json'):
        hook.before_train(runner)


class Labels(BaseDataset):
    """Classification data given by its labels."""

    METAINFO = dict(classes=NAMES)

    def load_data_list(self) -> list[dict]:
        return [dict(gt_label=label) for label in self.ann_file]

    def _join_prefix(self) -> None:
        pass

    def get_cat_ids(self, idx: int) -> list[int]:
        return [self.get_data_info(idx)['gt_label']]


def test_class_balanced_draws_over_wrappers():
    from mmengine.dataset import ConcatDataset, RepeatDataset

    data = ConcatDataset([Labels([0, 0, 0]), Labels([3, 1])])
    sampler = LongTailSampler(RepeatDataset(Labels([2, 0]), times=2), seed=0)
    assert sampler.labels.tolist() == [2, 0, 2, 0]
    sampler = LongTailSampler(data, seed=0)
    assert sampler.labels.tolist() == [0, 0, 0, 3, 1]
    draws = []
    for epoch in range(300):
        sampler.set_epoch(epoch)
        draws += sampler.labels[list(sampler)].tolist()
    np.testing.assert_allclose(np.bincount(draws) / 1500, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.04)


def test_unknown_wrappers():
    class Every(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.dataset) // 2

    data = Labels([0, 1, 2, 3])
    with pytest.raises(BadInputError, match='Every shows 2 items of the 4 .* does not tell which'):
        ClassFrequency.from_dataset(Every(dataset=data))
    named = Every(dataset=data, metainfo=data.metainfo, get_cat_ids=lambda i: [2 * i])
    assert ClassFrequency.from_dataset(named) == ClassFrequency([1, 0, 1, 0])


@pytest.mark.parametrize('threshold', [None, -0.1, float('nan')])
def test_bad_threshold(threshold):
    with pytest.raises(BadInputError, match='oversample_thr is .*, expected a share of images'):
        RepeatFactorDataset(Labels([0]), threshold)
