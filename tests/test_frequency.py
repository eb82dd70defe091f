import json
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_det.adjustments import build_adjustment
from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency, repeat_threshold
from lt_det.frequency_module import FrequencyModule, frequency_modules


def test_groups_at_their_bounds():
    frequency = ClassFrequency([0, 1, 10, 11, 100, 101])
    assert ''.join(frequency.groups('lvis')) == 'rrrccf'
    frequency = ClassFrequency([19, 20, 100, 101])
    assert list(frequency.groups('shot')) == ['few', 'medium', 'medium', 'many']
    with pytest.raises(BadInputError, match="'lvis', 'shot'"):
        frequency.groups('coco')


def test_lvis_v1_groups(lvis_v1):
    assert Counter(lvis_v1.groups()) == {'r': 337, 'c': 461, 'f': 405}
    assert (lvis_v1.num_classes, lvis_v1.num_images, lvis_v1.num_instances) == (
        1203,
        100_170,
        1_270_141,
    )


def test_places_lt_list(places_list):
    frequency = ClassFrequency.from_annotation_file(places_list)
    labels = [int(line.split()[1]) for line in places_list.read_text().splitlines()]
    assert frequency.num_images == frequency.num_instances == len(labels)
    assert frequency.image_count.tolist() == [labels.count(i) for i in range(max(labels) + 1)]
    groups = {22: dict(many=6, medium=9, few=7), 365: dict(many=131, medium=163, few=71)}
    assert Counter(frequency.groups('shot')) == groups[frequency.num_classes]


def test_classes_at_the_end_of_a_list_may_be_empty(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('a 0\nb 0\nc 1\n')
    assert ClassFrequency.from_annotation_file(path) == ClassFrequency([2, 1])
    assert ClassFrequency.from_annotation_file(path, 4) == ClassFrequency([2, 1, 0, 0])
    with pytest.raises(BadInputError, match=r'a.txt:3 has label 1, expected 0..0'):
        ClassFrequency.from_annotation_file(path, 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40))
def test_counts_equal_a_naive_count(pairs):
    frequency = ClassFrequency.from_pairs(
        [image for image, _ in pairs], [label for _, label in pairs], num_classes=4, num_images=6
    )
    for label in range(4):
        images = [image for image, other in pairs if other == label]
        assert frequency.instance_count[label] == len(images)
        assert frequency.image_count[label] == len(set(images))


def test_annotation_file_counts_by_sorted_id(tmp_path):
    content = dict(
        images=[dict(id=image, width=9, height=9) for image in (7, 8, 9)],
        categories=[dict(id=5, name='five'), dict(id=2, name='two')],
        annotations=[
            dict(id=i, image_id=image, category_id=cat, bbox=[0, 0, 1, 1], area=1)
            for i, (image, cat) in enumerate([(7, 5), (7, 5), (8, 5), (8, 2)])
        ],
    )
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    frequency = ClassFrequency.from_annotation_file(path)
    assert frequency.class_names == ('two', 'five')
    assert frequency == ClassFrequency([1, 2], [1, 3], 3)


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        ('', 'is empty'),
        ('a.jpg x', 'a.txt:1 is "a.jpg x"'),
        ('a.jpg 1_0', 'a.txt:1 is "a.jpg 1_0"'),
        ('a.jpg -1', 'negative label -1'),
        ('a.jpg 0\nb.jpg 999999999999', 'a.txt:2 has label 999999999999, expected 0..16777215'),
    ],
)
def test_bad_list_file(tmp_path, lines, message):
    path = tmp_path / 'a.txt'
    path.write_text(lines)
    with pytest.raises(BadInputError, match=message):
        ClassFrequency.from_annotation_file(path)
    with pytest.raises(MissingFileError, match=r'gone\.txt'):
        ClassFrequency.from_annotation_file(tmp_path / 'gone.txt')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(image_count=[1, -1]), 'image_count must be'),
        (dict(image_count=[1.5]), 'image_count must be'),
        (dict(image_count=[1, 2], instance_count=[1]), 'instance_count has 1 entries'),
        (dict(image_count=[5], num_images=4), 'num_images is 4'),
    ],
)
def test_bad_counts(arguments, message):
    with pytest.raises(BadInputError, match=message):
        ClassFrequency(**arguments)


def test_difference_names_both_values():
    ours, theirs = ClassFrequency([3, 5], num_images=9), ClassFrequency([3, 4], num_images=9)
    assert ours.difference(theirs) == ('image_count of class 1 5 against 4 (1 of 2 classes differ)')
    assert ours.difference(ClassFrequency([1])) == 'num_classes 2 against 1'
    assert ours == ClassFrequency([3, 5], num_images=9)


def test_wrappers_are_looked_through():
    class Wrapper:
        def __init__(self, dataset):
            self.dataset = dataset

    class Joined:
        def __init__(self, datasets):
            self.datasets = datasets

    class Plain:
        metainfo = dict(classes=('a', 'b'))

        def __len__(self):
            return 3

        def get_cat_ids(self, index):
            return [[0, 0, 1], [], [1]][index]

    expected = ClassFrequency([1, 2], [2, 2], 3)
    assert ClassFrequency.from_dataset(Wrapper(Wrapper(Plain()))) == expected
    doubled = ClassFrequency.from_dataset(Joined([Plain(), Wrapper(Plain())]))
    assert doubled == ClassFrequency([2, 4], [4, 4], 6)


def test_module_carries_statistics_in_its_state():
    frequency = ClassFrequency([4, 0, 2], [9, 0, 2], 5)
    module = FrequencyModule(3)
    assert not module.has_frequency
    module.set_class_frequency(frequency)
    restored = FrequencyModule(3)
    restored.load_state_dict(module.state_dict())
    assert restored.has_frequency
    assert restored.frequency == frequency
    assert restored.image_count.dtype == torch.int64
    assert isinstance(frequency.image_count, np.ndarray)
    with pytest.raises(BadInputError, match='num_classes=3, the data set has 1'):
        module.set_class_frequency(ClassFrequency([1]))


def test_checkpoint_of_a_model_without_the_module_lacks_nothing():
    """Such a model is tested with a rule that counts from the training set: no key is missing."""
    model = torch.nn.ModuleDict({'fc': torch.nn.Linear(2, 2), 'rule': FrequencyModule(3)})
    state = {key: value for key, value in model.state_dict().items() if key.startswith('fc')}
    model.load_state_dict(state)
    assert not model['rule'].has_frequency
    state['rule.image_count'] = torch.ones(3, dtype=torch.int64)
    with pytest.raises(BadInputError, match='statistics of rule only image_count; expected'):
        model.load_state_dict(state)
    with pytest.raises(RuntimeError, match='fc.weight'):
        model.load_state_dict({})


def test_modules_inside_one_that_asks_are_left_to_it():
    outer, alone = FrequencyModule(3), FrequencyModule(3)
    outer.inner = FrequencyModule(3)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ModuleList([outer]), alone)
    assert list(frequency_modules(model)) == [outer, alone]
    assert list(frequency_modules(outer)) == [outer]


def test_the_repeat_threshold_is_that_of_lvis_on_lvis():
    assert repeat_threshold(100_000) == 0.001
    assert repeat_threshold(1000, (5, 50)) == 0.05
    assert repeat_threshold(20) == 1


@pytest.mark.parametrize('lacking', ['image_count', 'instance_count', 'num_images', 'scale'])
@pytest.mark.parametrize('as_list', [False, True])
def test_a_checkpoint_with_a_part_of_the_statistics(lacking, as_list):
    """Derived values are computed anew, counts have to be whole."""
    frequency = ClassFrequency([50, 9, 1], [90, 9, 2], 60)
    rule = dict(type='IIF', link='raw', count='instance')
    state = build_adjustment(rule, frequency).state_dict()
    expected = state['scale'].clone()
    gone = state.pop(lacking)
    if as_list:
        state[lacking] = gone.tolist()
    loaded = build_adjustment(rule, num_classes=3)
    if lacking == 'scale':
        loaded.load_state_dict({k: v for k, v in state.items() if k != 'scale'}, strict=False)
        torch.testing.assert_close(loaded.scale, expected)
    else:
        with pytest.raises(BadInputError, match='the checkpoint has of the class statistics of'):
            loaded.load_state_dict(state, strict=False)
