"""Temperature divides all channels, whatever statistics or checkpoints there are."""

import math

import pytest
import torch

from lt_det.adjustments import build_adjustment
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency

FREQUENCY = ClassFrequency([40, 10, 1], [90, 10, 2], 100)
LOGITS = torch.linspace(-3, 3, 20).reshape(5, 4)


def built(**rule):
    return build_adjustment(dict(type='Temperature', **rule), num_classes=3).eval()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('temperature', [0.5, 1, 3.0])
def test_probabilities_are_powers_renormalised(dtype, temperature):
    logits = LOGITS.to(dtype)
    expected = logits.softmax(-1) ** (1 / temperature)
    expected /= expected.sum(-1, keepdim=True)
    rule = built(temperature=temperature)
    torch.testing.assert_close(rule(logits).softmax(-1), expected, rtol=1e-5, atol=1e-6)
    rule.set_class_frequency(FREQUENCY)
    torch.testing.assert_close(rule(logits).softmax(-1), expected, rtol=1e-5, atol=1e-6)


def test_it_acts_at_test_alone_and_on_every_anchor():
    rule = built(temperature=2.0)
    logits = torch.arange(2 * 8 * 3.0).view(2, 8, 3)  # 2 anchors of 4 channels
    assert torch.equal(rule(logits, dim=1), logits / 2)
    assert torch.equal(rule.train()(logits, dim=1), logits)


@pytest.mark.parametrize('frequency', [FREQUENCY, None])
def test_the_configured_temperature_wins_over_the_checkpoint(frequency):
    saved = built(temperature=4.0)
    if frequency is not None:
        saved.set_class_frequency(frequency)
    rule = built(temperature=2.0)
    if frequency is None:
        rule.load_state_dict(saved.state_dict())
    else:
        with pytest.warns(UserWarning, match='another rule'):
            rule.load_state_dict(saved.state_dict())
    assert torch.equal(rule(LOGITS), LOGITS / 2)


@pytest.mark.parametrize(
    'rule', [dict(type='NorCal', gamma=0.5), dict(type='IIF'), dict(type='PriorShift')]
)
def test_its_background_does_not_stay_when_another_rule_is_configured(rule):
    saved = built(temperature=4.0)
    saved.set_class_frequency(FREQUENCY)
    loaded = build_adjustment(rule, num_classes=3)
    with pytest.warns(UserWarning, match='another rule'):
        loaded.load_state_dict(saved.state_dict())
    fresh = build_adjustment(rule, FREQUENCY)
    assert torch.equal(loaded.scale, fresh.scale) and torch.equal(loaded.shift, fresh.shift)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_learned_scale_of_the_background_stays(dtype):
    rule = build_adjustment(dict(type='LearnedScale'), FREQUENCY).to(dtype)
    with torch.no_grad():
        rule.scale.copy_(torch.tensor([2.0, 3.0, 4.0, 5.0]))
    loaded = build_adjustment(dict(type='LearnedScale'), num_classes=3).to(dtype)
    loaded.load_state_dict(rule.state_dict())
    assert loaded.scale.tolist() == [2, 3, 4, 5]


def test_after_norcal_it_is_one_affine_map():
    rules = [dict(type='NorCal', gamma=0.5), dict(type='Temperature', temperature=1.5)]
    composed = build_adjustment(rules, FREQUENCY).eval()
    shift = torch.tensor([40.0, 10, 1, 1]).log() * -0.5
    torch.testing.assert_close(composed(LOGITS), (LOGITS + shift) / 1.5)
    torch.testing.assert_close(LOGITS * composed.scale + composed.shift, composed(LOGITS))


@pytest.mark.parametrize('temperature', [0, -1.0, math.inf, math.nan, '2', True, None])
def test_a_temperature_that_is_no_positive_number_is_refused(temperature):
    with pytest.raises(BadInputError, match='adjustment.temperature is .*, expected a finite'):
        built(temperature=temperature)


def test_independent_sigmoids_are_refused():
    with pytest.raises(BadInputError, match='Temperature.*independent sigmoids.*PriorShift'):
        build_adjustment(
            dict(type='Temperature', temperature=2.0), FREQUENCY, False, activation='sigmoid'
        )
