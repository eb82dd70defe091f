"""Every family of detectors against the stock detector with its classifiers changed by hand.

``scale z + shift`` of the logits is what a classifier with weights ``scale w`` and bias
``scale b + shift`` computes; the layers to change are named here, apart from the finder.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lt_det.adjustments import build_adjustment

from .zoo import FAMILIES, FREQUENCY, C, adjusted, built, detections, losses

IN_TRAINING = [dict(type='IIF', link='smooth'), dict(type='PriorShift', tau=0.7)]
AT_TEST = dict(type='PriorShift', tau=0.7, stage='test')
NOTHING = dict(type='PriorShift', tau=0.0, stage='test')


@pytest.fixture(scope='module', params=list(FAMILIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope='module')
def stock(name: str) -> nn.Module:
    return built(name)


def same_weights(detector: nn.Module, stock: nn.Module) -> nn.Module:
    missing, unexpected = detector.load_state_dict(stock.state_dict(), strict=False)
    # DDQ hands its decoder branches of the head when it has been called
    assert all(key.startswith('decoder.aux_reg_branches') for key in unexpected)
    assert {key.split('.')[-2] for key in missing} <= {'adjustment', 'statistics', *'0123456789'}
    return detector


def changed(stock: nn.Module, paths: list[str], rules, sigmoid: bool, training: bool) -> nn.Module:
    """A copy of a detector whose classifiers compute adjusted logits."""
    detector = copy.deepcopy(stock)
    rule = build_adjustment(
        rules,
        FREQUENCY,
        background=not sigmoid,
        activation='sigmoid' if sigmoid else 'softmax',
    ).train(training)
    for path in paths:
        layer = detector.get_submodule(path)
        anchors = len(layer.weight) // len(rule.scale)
        scale, shift = rule.scale.repeat(anchors), rule.shift.repeat(anchors)
        with torch.no_grad():
            layer.bias.copy_(layer.bias * scale + shift)
            layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
    return detector


def assert_same_detections(ours: list, theirs: list, exact: bool = False) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert len(mine) == len(other) > 0
        tolerance = dict(rtol=0, atol=0) if exact else dict(rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mine.scores, other.scores, **tolerance)
        if exact:
            for key in ('labels', 'bboxes', 'masks'):
                assert key not in other or torch.equal(mine[key], other[key])


def test_statistics_alone_and_a_shift_of_zero_change_no_bit(name: str, stock: nn.Module) -> None:
    expected, boxes = losses(stock, name), detections(stock, name)
    for rule in (None, NOTHING):
        detector = same_weights(adjusted(name, rule), stock)
        assert type(detector) is type(stock) and detector.statistics.has_frequency
        found = losses(detector, name)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        assert_same_detections(detections(detector, name), boxes, exact=True)


def test_training_sees_adjusted_logits_of_all_layers(name: str, stock: nn.Module) -> None:
    family = FAMILIES[name]
    detector = same_weights(adjusted(name, IN_TRAINING), stock)
    oracle = changed(stock, family.classifiers, IN_TRAINING, family.sigmoid, training=True)
    ours, theirs = losses(detector, name), losses(oracle, name)
    before = losses(stock, name)
    assert any(not torch.allclose(ours[key], before[key], rtol=1e-2) for key in ours)
    for key in ours:
        assert ours[key].isfinite()
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-4)
    sum(loss for key, loss in ours.items() if 'loss' in key).backward()
    gradients = [detector.get_submodule(path).weight.grad for path in family.classifiers]
    assert all(gradient.isfinite().all() for gradient in gradients)
    # YOLOX learns classes at the levels that have an object
    assert max(gradient.abs().max() for gradient in gradients) > 0


def test_scores_come_from_adjusted_logits_of_the_last_layer(name: str, stock: nn.Module) -> None:
    family = FAMILIES[name]
    detector = same_weights(adjusted(name, AT_TEST), stock)
    at_test = family.at_test or family.classifiers
    oracle = changed(stock, at_test, AT_TEST, family.sigmoid, training=False)
    ours = detections(detector, name)
    assert_same_detections(ours, detections(oracle, name))
    plain = detections(stock, name)
    assert any(
        len(a) != len(b) or not torch.allclose(a.scores, b.scores, rtol=1e-2)
        for a, b in zip(ours, plain)
    )
    # and training not at all
    expected = losses(stock, name)
    assert all(torch.equal(loss, expected[key]) for key, loss in losses(detector, name).items())


def test_checkpoint_and_copy_have_rule_and_statistics(name: str, stock: nn.Module) -> None:
    detector = same_weights(adjusted(name, AT_TEST), stock)
    expected = detections(detector, name)
    again = adjusted(name, AT_TEST)
    for module in again.modules():  # as before a hook or a checkpoint has set them
        if hasattr(module, 'has_frequency'):
            module.has_frequency = False
    again.load_state_dict(detector.state_dict())
    assert_same_detections(detections(again, name), expected, exact=True)
    assert again.statistics.frequency.image_count.tolist() == FREQUENCY.image_count.tolist()
    # a copy (EMA) has hooks of its own
    twin = copy.deepcopy(detector)
    with torch.no_grad():
        detector.get_submodule(FAMILIES[name].head).adjustment.shift.add_(100.0)
    assert_same_detections(detections(twin, name), expected, exact=True)


def test_heads_have_an_adjustment_each(name: str) -> None:
    detector = adjusted(name, AT_TEST)
    head = detector.get_submodule(FAMILIES[name].head)
    assert head.adjustment.num_classes == C
    assert head.adjustment.activation == ('sigmoid' if FAMILIES[name].sigmoid else 'softmax')
    assert len(head.adjustment.shift) == C + (not FAMILIES[name].sigmoid)
