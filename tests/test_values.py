"""Values of a config: what is a number, and that every component refuses what is none."""

from __future__ import annotations

import inspect
import math

import mmdet.registry
import mmengine.registry
import mmpretrain.registry
import numpy as np
import pytest
from mmengine.registry import Registry

from lt_det import components  # noqa: F401, which registers them
from lt_det.adjustments.base import ADJUSTMENTS
from lt_det.errors import BadInputError
from lt_det.values import check_values, is_kind

NO_NUMBERS = ('5', '', True, False, math.nan, math.inf, -math.inf, [1], {}, 1j)


@pytest.mark.parametrize(
    ('kind', 'good', 'bad'),
    [
        ('a number', (0, -1.5, 2, np.float32(0.5), np.int64(3)), ()),
        ('a finite number > 0', (1e-9, 7, np.float64(2)), (0, -1, 0.0)),
        ('a number >= 0', (0, 0.0, 3), (-1e-9,)),
        ('a number in [0, 1]', (0, 1, 0.5), (-0.1, 1.1)),
        ('a number in [0, 1)', (0, 0.99), (1, -1)),
        ('a number in (0, 1]', (0.01, 1), (0, 1.5)),
        ('a whole number >= 1', (1, 7, np.int32(2)), (0, -3, 2.0, 1.5)),
        ('seconds, a number >= 0', (0, 2.5), (-1,)),
    ],
)
def test_numbers(kind, good, bad):
    for value in good:
        assert is_kind(value, kind)
        assert is_kind(value, f'{kind}, or None')
    for value in (*bad, *NO_NUMBERS):
        assert not is_kind(value, kind)
    assert is_kind(None, f'{kind}, or None')
    assert not is_kind(None, kind)


def test_flags():
    assert is_kind(True, 'True or False')
    assert is_kind(False, 'True or False')
    assert not any(is_kind(value, 'True or False') for value in (0, 1, 'True', None))


def test_the_first_bad_value_is_named_with_what_is_expected():
    check_values('a.b', p=(1, 'a number > 0'), q=('x', ('x', 'y')))
    with pytest.raises(BadInputError, match=r"^a\.b\.q is 'z', expected one of \('x', 'y'\)$"):
        check_values('a.b', p=(1, 'a number > 0'), q=('z', ('x', 'y')), r=(0, 'a number > 0'))
    with pytest.raises(BadInputError, match=r'^a\.q is False, expected True$'):
        check_values('a', q=(False, (True,)))
    with pytest.raises(BadInputError, match="^a.r is '5', expected a whole number >= 1, or None$"):
        check_values('a', r=('5', 'a whole number >= 1, or None'))


# what a component cannot be built without
CLASSIFIER = dict(num_classes=4, in_channels=8)
BOX_HEAD = dict(num_classes=4, in_channels=8, roi_feat_size=2, num_shared_fcs=1, fc_out_channels=8)
MASK_HEAD = dict(num_classes=4, in_channels=8, conv_out_channels=8, num_convs=1)
NEEDED = dict(
    CAMCClsHead=CLASSIFIER,
    LongTailClsHead=CLASSIFIER,
    CrossModalHead=dict(CLASSIFIER, num_words=5),
    FASABBoxHead=BOX_HEAD,
    ClassIndexedMaskHead=MASK_HEAD,
    ClassBalancedLoss=dict(loss=dict(type='mmpretrain.CrossEntropyLoss')),
    RepeatFactorDataset=dict(dataset=None, lazy_init=True),
    CosineLinear=dict(in_features=8, out_features=4),
    **{rule: dict(num_classes=4) for rule in ADJUSTMENTS},
)
# layers and arrays of torch refuse these themselves, and say which
SIZES = {'num_classes', 'in_channels', 'in_features', 'out_features', 'num_words', 'embed_dims'}
SIZES |= {'depth', 'base_channels', 'num_extra'}
# what needs files, a model or a data set to be built; their numbers have tests of their own
ELSEWHERE = {'BALLAD', 'CIFAR10LT', 'CIFAR100LT', 'CrossModalDataset', 'ListFileDataset'}
ELSEWHERE |= {'LongTailLVISMetric', 'LongTailSampler', 'SMCLClassifier', 'CAMCalibratedRoIHead'}


def own_components() -> dict[str, type]:
    found = {**ADJUSTMENTS}
    for package in (mmengine.registry, mmdet.registry, mmpretrain.registry):
        for registry in vars(package).values():
            if isinstance(registry, Registry):
                found.update(registry.module_dict)
    return {
        name: kind
        for name, kind in found.items()
        if inspect.isclass(kind) and kind.__module__.startswith('lt_det.')
    }


def arguments(annotations: set[str], but: set[str]) -> list:
    """Cases of a component, and of an argument of its own that has one of some annotations."""
    return [
        pytest.param(name, kind, argument.name, id=f'{name}.{argument.name}')
        for name, kind in sorted(own_components().items())
        if name not in ELSEWHERE and '__init__' in vars(kind)
        if kind.__init__.__module__.startswith('lt_det.')
        for argument in inspect.signature(kind.__init__).parameters.values()
        if argument.annotation in annotations and argument.name not in but
    ]


NUMBERS = arguments({'int', 'float', 'int | None', 'float | None'}, SIZES)
FLAGS = arguments({'bool'}, {'use_sigmoid', 'lazy_init', 'classwise', 'fixed_ap'})


@pytest.mark.parametrize(('name', 'kind', 'key'), NUMBERS)
def test_no_component_trains_with_what_is_no_number(name, kind, key):
    for value in ('0.5', math.nan, -math.inf, True):
        with pytest.raises(BadInputError, match=rf'\b{key} is {value!r}'):
            kind(**{**NEEDED.get(name, {}), key: value})


@pytest.mark.parametrize(('name', 'kind', 'key'), FLAGS)
def test_no_component_takes_a_text_for_true(name, kind, key):
    for value in ('no', 0):  # --cfg-options KEY=no is a text
        with pytest.raises(BadInputError, match=rf'\b{key} is {value!r}, expected True or False'):
            kind(**{**NEEDED.get(name, {}), key: value})


def test_components_are_found():
    assert len(NUMBERS) >= 47
    assert len(FLAGS) >= 18
    assert own_components().keys() >= ELSEWHERE
