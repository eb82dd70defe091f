import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_det.adjustments import build_adjustment
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency

FREQUENCY = ClassFrequency([40, 10, 1], [90, 10, 2], 100)
LOGITS = torch.linspace(-3, 3, 20).reshape(5, 4)
RULES = st.sampled_from(
    [
        dict(type='IIF', link='raw'),
        dict(type='IIF', link='base10', count='instance', stage='train'),
        dict(type='IIF', link='smooth', stage='test'),
        dict(type='PriorShift', tau=0.7, stage='train'),
        dict(type='PriorShift', stage='test'),
        dict(type='NorCal', gamma=0.6),
    ]
)


def test_unknown_type_lists_those_that_exist():
    with pytest.raises(
        BadInputError, match="'IFF' does not exist; there are .*IIF, .*NorCal, PriorShift"
    ):
        build_adjustment(dict(type='IFF'), num_classes=3)
    with pytest.raises(BadInputError, match='expected dict'):
        build_adjustment([dict(link='raw')], num_classes=3)
    with pytest.raises(BadInputError, match='frequency or num_classes'):
        build_adjustment(dict(type='IIF'))


@pytest.mark.parametrize('stage', ['both', 'train', 'test'])
def test_stage_decides_when_the_map_applies(stage):
    adjustment = build_adjustment(dict(type='IIF', stage=stage), FREQUENCY)
    for training in (True, False):
        adjustment.train(training)
        applied = not torch.equal(adjustment(LOGITS), LOGITS)
        assert applied == (stage in ('both', 'train' if training else 'test'))


@settings(deadline=None, derandomize=True)
@given(st.lists(RULES, min_size=1, max_size=4), st.booleans())
def test_a_list_is_applied_in_order_and_its_map_is_affine(rules, training):
    composed = build_adjustment(rules, FREQUENCY).train(training)
    expected = LOGITS.double()
    for rule in rules:
        expected = build_adjustment(rule, FREQUENCY).train(training)(expected)
    torch.testing.assert_close(composed(LOGITS), expected.float(), rtol=1e-5, atol=1e-5)
    if len(rules) > 1:
        affine = LOGITS * composed.scale + composed.shift
        torch.testing.assert_close(affine, expected.float(), rtol=1e-5, atol=1e-5)


def test_without_statistics_it_refuses_to_run():
    adjustment = build_adjustment(dict(type='IIF'), num_classes=3)
    with pytest.raises(RuntimeError, match='ClassFrequencyHook'):
        adjustment(LOGITS)


def test_checkpoint_restores_statistics_and_map():
    saved = build_adjustment(dict(type='IIF', link='base2'), FREQUENCY)
    loaded = build_adjustment(dict(type='IIF', link='base2'), num_classes=3)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded(LOGITS), saved(LOGITS))
    assert loaded.frequency == FREQUENCY


def test_the_configured_rule_wins_over_that_of_the_checkpoint():
    saved = build_adjustment(dict(type='IIF', link='base2'), FREQUENCY)
    loaded = build_adjustment(dict(type='IIF', link='smooth'), num_classes=3)
    with pytest.warns(UserWarning, match='another rule'):
        loaded.load_state_dict(saved.state_dict())
    expected = build_adjustment(dict(type='IIF', link='smooth'), FREQUENCY)
    assert torch.equal(loaded.scale, expected.scale)


def test_learned_factors_are_none_of_another_rule():
    iif, learned = (dict(type=name) for name in ('IIF', 'LearnedScale'))
    factors = build_adjustment(learned, FREQUENCY)
    torch.nn.init.constant_(factors.factor, 7)
    for saved, rule, expected in (
        (build_adjustment(iif, FREQUENCY), learned, torch.ones(4)),
        (factors, iif, build_adjustment(iif, FREQUENCY).scale),
    ):
        loaded = build_adjustment(rule, num_classes=3)
        with pytest.warns(UserWarning, match='another rule'):
            loaded.load_state_dict(saved.state_dict())
        assert loaded.scale.equal(expected) and loaded.frequency == FREQUENCY
        assert not loaded.shift.any()


@pytest.mark.parametrize(
    ('name', 'stage'), [('TauNorm', 'both'), ('TauNorm', 'train'), ('LearnedScale', 'test')]
)
def test_stages_at_which_there_is_nothing(name, stage):
    with pytest.raises(BadInputError, match=f"stage of {name} is '{stage}', expected 'test'|both"):
        build_adjustment(dict(type=name, stage=stage), FREQUENCY)


def test_half_precision_is_adjusted_in_float32():
    adjustment = build_adjustment(dict(type='IIF'), FREQUENCY)
    assert adjustment(LOGITS.half()).dtype == torch.float32


def test_channels_behind_the_classes_are_left_alone():
    adjustment = build_adjustment(dict(type='NorCal', gamma=1.0), num_classes=3, num_extra=2)
    adjustment.set_class_frequency(FREQUENCY)
    assert adjustment.scale.shape == adjustment.shift.shape == (5,)
    assert not adjustment.shift[3:].any()
    classifier = build_adjustment(dict(type='IIF'), FREQUENCY, background=False)
    assert classifier.scale.shape == (3,)
