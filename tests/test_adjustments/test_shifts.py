"""The additive rules against the formulas of their papers, written on probabilities."""

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


@pytest.mark.parametrize('gamma', [-0.5, float('nan')])
def test_norcal_refuses_a_strength_that_is_none(gamma):
    with pytest.raises(
        BadInputError, match=f'adjustment.gamma is {gamma}, expected a finite number'
    ):
        build_adjustment(dict(type='NorCal', gamma=gamma), FREQUENCY)
