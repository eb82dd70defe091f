"""The federated loss against binary cross-entropy of the classes that count."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lt_det.frequency import ClassFrequency
from lt_det.models.losses import FederatedLoss

from .loss_cases import (
    DTYPES,
    FREQUENCY,
    LABELS,
    C,
    assert_same,
    box_head,
    federated,
    logits,
    predicted,
)

pytestmark = pytest.mark.usefixtures('mmdet_scope')


@DTYPES
def test_federated_loss_is_binary_cross_entropy_of_the_considered_classes(dtype, monkeypatch):
    loss = federated().to(dtype)
    x = logits(C + 1, dtype)
    considered = torch.rand(len(LABELS), C) < 0.5
    considered |= nn.functional.one_hot(LABELS, C + 1)[:, :C].bool()  # a label always counts
    monkeypatch.setattr(loss, 'considered', lambda labels: considered)
    weights = torch.rand(len(LABELS), dtype=dtype)
    expected = 0
    for i, label in enumerate(LABELS.tolist()):
        for c in range(C):
            if considered[i, c]:
                score = x[i, c].sigmoid()
                expected = expected - weights[i] * (score if c == label else 1 - score).log()
    assert_same(loss(x, LABELS, weights), expected / len(LABELS), x)
    assert_same(loss(x, LABELS, weights, avg_factor=3.0), expected / 3, x)


def test_considered_classes_follow_the_lists_of_the_image():
    loss = federated(num_sampled=1)
    labels = torch.tensor([1, C, C, 0])
    negative = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 0]]).bool()
    not_exhaustive = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0]]).bool()
    loss.set_images(negative, not_exhaustive)
    loss.set_rois(torch.tensor([[0.0] * 5, [0.0] * 5, [1.0] * 5, [1.0] * 5]))
    # the batch has the labels 0 and 1, more than num_sampled
    expected = [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0]]
    assert loss.considered(labels).int().tolist() == expected


def test_draws_are_proportional_to_the_root_of_the_frequency():
    loss = federated(num_sampled=2)
    label = torch.tensor([0])
    drawn = torch.stack([loss.considered(label) for _ in range(4000)]).float().mean(0)
    # class 0 is in the batch; one of the others is drawn with 10 : 3 : 0
    torch.testing.assert_close(drawn, torch.tensor([1, 10 / 13, 3 / 13, 0]), atol=0.035, rtol=0)
    everything = federated(num_sampled=50).considered(label)
    assert everything.tolist() == [True, True, True, False]


@pytest.mark.parametrize('count', [[5, 3, 1, 0], [0, 0, 0, 0]])
def test_power_of_zero_draws_all_classes_alike(count):
    loss = FederatedLoss(num_classes=C, num_sampled=2, power=0)
    loss.set_class_frequency(ClassFrequency(count, num_images=9))
    label = torch.tensor([0])
    drawn = torch.stack([loss.considered(label) for _ in range(4000)]).float().mean(0)
    torch.testing.assert_close(drawn, torch.tensor([1, 1 / 3, 1 / 3, 1 / 3]), atol=0.035, rtol=0)
    x = logits(C + 1, torch.float32)
    loss(x, LABELS).backward()
    assert torch.isfinite(x.grad).all()


def test_present_power_is_in_force_after_a_checkpoint():
    state = federated(power=1.0).state_dict()
    assert set(state) == {'image_count', 'instance_count', 'num_images'}
    for more in ({}, dict(log_weight=torch.full([C], 7.0))):  # of an older version
        loss = FederatedLoss(num_classes=C, power=0.5)
        loss.load_state_dict({**state, **more}, strict=True)
        assert torch.equal(loss.log_weight, federated(power=0.5).log_weight)
        assert loss.frequency == FREQUENCY


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('logit', [200.0, -200.0])
def test_federated_loss_of_half_precision_is_summed_in_full(dtype, logit):
    classes = 1203
    loss = FederatedLoss(num_classes=classes, num_sampled=classes)
    loss.set_class_frequency(ClassFrequency([9] * classes))
    x = torch.full((8, classes + 1), logit, dtype=dtype, requires_grad=True)
    labels = torch.arange(8)
    found = loss(x, labels)
    target = nn.functional.one_hot(labels, classes + 1).double()[:, :-1]
    expected = nn.functional.binary_cross_entropy_with_logits(
        x[:, :-1].double(), target, reduction='none'
    )
    torch.testing.assert_close(found.double(), expected.sum() / 8, rtol=1e-5, atol=1e-5)
    found.backward()
    assert torch.isfinite(x.grad).all()


def test_federated_head_starts_at_the_prior_and_predicts_by_sigmoid():
    head = box_head(loss_cls=dict(type='FederatedLoss', num_classes=C))
    torch.testing.assert_close(head.fc_cls.bias.sigmoid(), torch.full([C + 1], 0.01))
    head.set_class_frequency(FREQUENCY)
    x = torch.randn(len(LABELS), C + 1)
    torch.testing.assert_close(predicted(head.eval(), x), x[:, :C].sigmoid())
    rois = torch.zeros(len(LABELS), 5)
    ones = torch.ones(len(LABELS))
    losses = head.loss(x, None, rois, LABELS, ones, None, None)
    assert torch.isfinite(losses['loss_cls'])
    assert 0 <= losses['acc'].item() <= 100
