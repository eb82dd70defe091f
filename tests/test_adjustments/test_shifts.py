"""The additive rules against the formulas of their papers, written on probabilities."""

import math
import re

import numpy as np
import pytest
import torch

from lt_det.adjustments import build_adjustment
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency

FREQUENCY = ClassFrequency([40, 10, 1], [90, 10, 2], 100)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('tau', [0.5, 1.0])
def test_prior_shift_multiplies_or_divides_probabilities_by_the_prior(dtype, tau):
    torch.manual_seed(0)
    logits = torch.randn(6, 3, dtype=dtype)
    prior = torch.tensor([40, 10, 1], dtype=dtype) / 51
    for stage, power in (('train', tau), ('test', -tau)):
        adjustment = build_adjustment(
            dict(type='PriorShift', tau=tau, stage=stage), FREQUENCY, background=False
        ).train(stage == 'train')
        expected = logits.softmax(-1) * prior**power
        expected /= expected.sum(-1, keepdim=True)
        torch.testing.assert_close(adjustment(logits).softmax(-1), expected, rtol=1e-5, atol=1e-6)


def test_prior_shift_has_no_sign_for_both_stages():
    with pytest.raises(BadInputError, match="'train' .* or 'test'"):
        build_adjustment(dict(type='PriorShift', stage='both'), FREQUENCY)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('gamma', [0.3, 1.0])
def test_norcal_divides_foreground_probabilities(dtype, gamma):
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=dtype)
    adjustment = build_adjustment(
        dict(type='NorCal', gamma=gamma, count='instance'), FREQUENCY
    ).eval()
    expected = logits.softmax(-1)
    expected[:, :3] /= torch.tensor([90, 10, 2], dtype=dtype) ** gamma
    expected /= expected.sum(-1, keepdim=True)
    torch.testing.assert_close(adjustment(logits).softmax(-1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, '1', True, None, [1.0]])
@pytest.mark.parametrize(
    ('rule', 'strength', 'expected'),
    [
        ('PriorShift', 'tau', ''),
        ('NorCal', 'gamma', ' >= 0'),
        ('FRACAL', 'lam', ' >= 0'),
        ('Temperature', 'temperature', ' > 0'),
        ('IIF', 'min_weight', ' > 0'),
    ],
)
def test_a_strength_is_a_finite_number(rule, strength, expected, value):
    message = f'adjustment.{strength} is {value!r}, expected a finite number{expected}'
    with pytest.raises(BadInputError, match=f'^{re.escape(message)}$'):
        build_adjustment({'type': rule, strength: value}, FREQUENCY)


@pytest.mark.parametrize(
    ('rule', 'good', 'bad'),
    [
        (dict(type='PriorShift', tau=-0.5), dict(tau=np.float32(2)), dict(tau=np.nan)),
        (dict(type='NorCal', gamma=0), dict(gamma=np.int64(1)), dict(gamma=-0.5)),
        (dict(type='FRACAL', lam=0), dict(lam=0.5), dict(lam=-1)),
        (dict(type='Temperature', temperature=1), dict(temperature=0.5), dict(temperature=0)),
        (dict(type='IIF', min_weight=1), dict(min_weight=1e-3), dict(min_weight=0)),
    ],
)
def test_the_range_of_a_strength(rule, good, bad):
    for values in (rule, {**rule, **good}):
        build_adjustment(values, num_classes=3)
    with pytest.raises(BadInputError, match='expected a finite number'):
        build_adjustment({**rule, **bad}, num_classes=3)
