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


@pytest.fixture(scope='module')
def before(name: str, stock: nn.Module) -> tuple[dict, list]:
    """Losses and detections of the stock detector."""
    return losses(stock, name), detections(stock, name)


@pytest.fixture(scope='module')
def at_test(name: str, stock: nn.Module) -> nn.Module:
    """The detector with a rule at test: not for training, in which DDQ's gets more parameters."""
    return same_weights(adjusted(name, AT_TEST), stock)


@pytest.fixture(scope='module')
def found(name: str, at_test: nn.Module) -> list:
    """Its detections."""
    return detections(at_test, name)


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


def test_statistics_alone_and_a_shift_of_zero_change_no_bit(name: str, stock, before) -> None:
    expected, boxes = before
    for rule in (None, NOTHING):
        detector = same_weights(adjusted(name, rule), stock)
        assert type(detector) is type(stock) and detector.statistics.has_frequency
        found = losses(detector, name)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        assert_same_detections(detections(detector, name), boxes, exact=True)


def test_training_sees_adjusted_logits_of_all_layers(name: str, stock, before) -> None:
    family = FAMILIES[name]
    detector = same_weights(adjusted(name, IN_TRAINING), stock)
    oracle = changed(stock, family.classifiers, IN_TRAINING, family.sigmoid, training=True)
    ours, theirs = losses(detector, name), losses(oracle, name)
    plain, _ = before
    assert any(not torch.allclose(ours[key], plain[key], rtol=1e-2) for key in ours)
    for key in ours:
        assert ours[key].isfinite()
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-4)
    sum(loss for key, loss in ours.items() if 'loss' in key).backward()
    gradients = [detector.get_submodule(path).weight.grad for path in family.classifiers]
    assert all(gradient.isfinite().all() for gradient in gradients)
    # YOLOX learns classes at the levels that have an object
    assert max(gradient.abs().max() for gradient in gradients) > 0


def test_scores_come_from_adjusted_logits_of_the_last_layer(
    name: str, stock, before, at_test, found
) -> None:
    family = FAMILIES[name]
    layers = family.at_test or family.classifiers
    oracle = changed(stock, layers, AT_TEST, family.sigmoid, training=False)
    assert_same_detections(found, detections(oracle, name))
    expected, plain = before
    assert any(
        len(a) != len(b) or not torch.allclose(a.scores, b.scores, rtol=1e-2)
        for a, b in zip(found, plain)
    )
    # and training not at all
    training = losses(copy.deepcopy(at_test), name)
    assert all(torch.equal(loss, expected[key]) for key, loss in training.items())


def test_checkpoint_and_copy_have_rule_and_statistics(name: str, at_test, found) -> None:
    again = adjusted(name, AT_TEST)
    for module in again.modules():  # as before a hook or a checkpoint has set them
        if hasattr(module, 'has_frequency'):
            module.has_frequency = False
    again.load_state_dict(at_test.state_dict())
    assert_same_detections(detections(again, name), found, exact=True)
    assert again.statistics.frequency.image_count.tolist() == FREQUENCY.image_count.tolist()
    # a copy (EMA) has hooks of its own
    twin = copy.deepcopy(again)
    with torch.no_grad():
        again.get_submodule(FAMILIES[name].head).adjustment.shift.add_(100.0)
    assert_same_detections(detections(twin, name), found, exact=True)


def test_heads_have_an_adjustment_each(name: str, at_test) -> None:
    head = at_test.get_submodule(FAMILIES[name].head)
    assert head.adjustment.num_classes == C
    assert head.adjustment.activation == ('sigmoid' if FAMILIES[name].sigmoid else 'softmax')
    assert len(head.adjustment.shift) == C + (not FAMILIES[name].sigmoid)
