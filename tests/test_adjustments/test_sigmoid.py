"""The rules where the scores of classes are independent sigmoids, each against its formula."""

import numpy as np
import pytest
import torch

from lt_det.adjustments import build_adjustment
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency

COUNTS = [40, 10, 1]
FREQUENCY = ClassFrequency(COUNTS, [90, 10, 2], 100)
START = np.log(0.01 / 0.99)
TYPES = [torch.float32, torch.float64]


def built(**rule):
    return build_adjustment(rule, FREQUENCY, background=False, activation='sigmoid')


def logits_of(dtype, *shape):
    return torch.randn(*(shape or (6, 3)), generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('tau', [0.5, 1.0])
def test_prior_shift_multiplies_odds_by_those_of_the_prior(dtype, tau):
    logits = 3 * logits_of(dtype)
    prior = np.array(COUNTS) / 51
    odds = prior / (1 - prior)
    average = np.exp((prior * np.log(odds)).sum())
    for stage, power in (('train', tau), ('test', -tau)):
        rule = built(type='PriorShift', tau=tau, stage=stage).train(stage == 'train')
        # the odds of a sigmoid are the exponential of its logit
        expected = logits.exp() * torch.from_numpy((odds / average) ** power).to(dtype)
        torch.testing.assert_close(rule(logits).exp(), expected, rtol=1e-5, atol=0)


def test_prior_shift_moves_training_samples_by_nothing_on_average():
    shift = built(type='PriorShift', stage='train').shift.double().numpy()
    assert abs((np.array(COUNTS) * shift).sum()) < 1e-4 and shift[0] > 0 > shift[2]


def test_prior_shift_of_a_single_class_is_finite():
    alone = ClassFrequency([7], [9], 10)
    rule = build_adjustment(dict(type='PriorShift'), alone, background=False, activation='sigmoid')
    assert rule.shift.tolist() == [0]


@pytest.mark.parametrize('dtype', TYPES)
def test_iif_turns_around_the_start_of_sigmoids(dtype):
    logits = logits_of(dtype)
    weight = torch.tensor([100 / 40, 100 / 10, 100], dtype=dtype).log()
    expected = weight * (logits - START) + START
    torch.testing.assert_close(built(type='IIF')(logits), expected, rtol=1e-5, atol=1e-5)
    start = torch.full((1, 3), START)
    torch.testing.assert_close(built(type='IIF')(start), start)


@pytest.mark.parametrize('dtype', TYPES)
def test_learned_scale_turns_around_the_start_of_sigmoids(dtype):
    rule = built(type='LearnedScale')
    logits = logits_of(dtype)
    torch.testing.assert_close(rule(logits), logits, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        rule.scale.copy_(torch.tensor([2.0, 0.5, 1.0]))
    expected = (logits - START) * torch.tensor([2.0, 0.5, 1.0], dtype=dtype) + START
    torch.testing.assert_close(rule(logits), expected, rtol=1e-5, atol=1e-5)
    rule(logits).sum().backward()
    torch.testing.assert_close(rule.scale.grad, (logits - START).sum(0).float())


@pytest.mark.parametrize('dtype', TYPES)
def test_tau_norm_keeps_the_start_of_sigmoids(dtype):
    features, weight = logits_of(dtype, 5, 4), logits_of(dtype, 3, 4) + 1
    bias = torch.tensor([-4.0, -5.0, -6.0], dtype=dtype)
    rule = built(type='TauNorm', tau=0.7).eval()
    rule.set_classifier(weight, bias)
    expected = START + features @ (weight / weight.norm(dim=1, keepdim=True) ** 0.7).T
    adjusted = rule(features @ weight.T + bias)
    torch.testing.assert_close(adjusted, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('num_extra', [0, 1])
def test_fracal_multiplies_two_sigmoids(dtype, num_extra):
    dimension, lam = np.array([1.8, 1.2, 1.0]), 2.0
    rule = build_adjustment(
        dict(type='FRACAL', lam=lam, dimension=dimension),
        FREQUENCY,
        num_extra=num_extra,
        activation='sigmoid',
    ).eval()
    power = dimension**lam
    shift = np.log10(100 / np.array(COUNTS)) - np.log10(3) - np.log10(power / power.mean())
    logits = 5 * logits_of(dtype, 50, 3 + num_extra)
    expected = logits.sigmoid()
    expected[:, :3] *= (logits[:, :3] + torch.from_numpy(shift).to(dtype)).sigmoid()
    torch.testing.assert_close(rule(logits).sigmoid(), expected, rtol=1e-5, atol=1e-7)
    assert not rule.affine


def test_fracal_is_finite_at_large_logits():
    rule = build_adjustment(
        dict(type='FRACAL', dimension=[1.8, 1.2, 1.0]), FREQUENCY, False, activation='sigmoid'
    ).eval()
    assert rule(torch.tensor([[-200.0, 0.0, 200.0]])).isfinite().all()


@pytest.mark.parametrize(
    ('rule', 'message'),
    [
        (dict(type='NorCal', gamma=0.5), r"NorCal.*independent sigmoids.*'PriorShift', tau=0.5"),
        (dict(type='IIF', stage='test'), r"IIF is 'test'.*'both' or 'train'"),
    ],
)
def test_rules_that_are_not_defined_are_refused(rule, message):
    with pytest.raises(BadInputError, match=message):
        built(**rule)


@pytest.mark.parametrize('activation', ['softmax', 'sigmoid'])
@pytest.mark.parametrize(
    'rule',
    [
        dict(type='IIF', link='smooth'),
        dict(type='PriorShift'),
        [dict(type='IIF'), dict(type='PriorShift')],
        dict(type='LearnedScale'),
    ],
)
def test_channels_of_anchors_are_adjusted_as_rows(rule, activation):
    """(N, A x K, H, W), overwritten or not, as the rows (N x H x W x A, K) of it."""
    rule = build_adjustment(rule, FREQUENCY, num_extra=1, activation=activation)
    logits = logits_of(torch.float32, 2, 5 * 4, 3, 2)
    rows = logits.view(2, 5, 4, 3, 2).permute(0, 3, 4, 1, 2).reshape(-1, 4)
    expected = rule(rows).view(2, 3, 2, 5, 4).permute(0, 3, 4, 1, 2).reshape(logits.shape)
    assert torch.equal(rule(logits, dim=1), expected)
    output = logits.clone()
    assert torch.equal(rule(output, dim=1, inplace=True), expected)
    learned = any(True for _ in rule.parameters())
    assert torch.equal(output, logits if learned else expected)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_gradients_through_overwritten_logits(layout):
    conv = torch.nn.Conv2d(2, 6, 3, padding=1)
    features = logits_of(torch.float32, 2, 2, 5, 5).to(memory_format=layout)
    rule = built(type='IIF')
    gradients = []
    for inplace in (False, True):
        conv.zero_grad()
        rule(conv(features), 1, inplace).square().sum().backward()
        gradients.append(conv.weight.grad.clone())
    assert torch.equal(*gradients)


def test_half_precision_comes_back_as_float32():
    rule = built(type='PriorShift')
    for dtype in (torch.float16, torch.bfloat16):
        assert rule(logits_of(torch.float32).to(dtype), inplace=True).dtype == torch.float32
