"""FASA's statistics, draws and adaptation against their definitions, and its head."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import nn

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.layers.fasa import FASA

C, D = 4, 3
FREQUENCY = ClassFrequency([60, 20, 5, 1], [120, 40, 8, 2], num_images=100)


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def component(**kwargs) -> FASA:
    fasa = FASA(C, D, **kwargs)
    fasa.set_class_frequency(FREQUENCY)
    return fasa


def test_running_statistics():
    fasa = component(decay=0.1)
    mean, variance = {}, {}
    for labels in ([0, 0, 0, 1, 4, 4], [0, 1, 1, 4, 4, 2]):
        labels = torch.tensor(labels)
        features = torch.randn(6, D)
        fasa.update(features, labels, torch.ones(6))
        for c in set(labels.tolist()) - {C}:
            of_class = features[labels == c]
            new = of_class.mean(0)
            spread = of_class.var(0, unbiased=True) if len(of_class) > 1 else torch.zeros(D)
            mean[c] = 0.1 * new + 0.9 * mean[c] if c in mean else new
            variance[c] = 0.1 * spread + 0.9 * variance[c] if c in variance else spread
    assert fasa.seen.tolist() == [True, True, True, False]
    for c in mean:
        torch.testing.assert_close(fasa.mean[c], mean[c])
        torch.testing.assert_close(fasa.variance[c], variance[c])
    assert not fasa.mean[3].any()


def test_present_power_is_in_force_after_a_checkpoint():
    saved = component(power=1.0)
    saved.probability *= torch.tensor([1.1, 0.9, 1.0, 1.21])  # adapted
    loaded = FASA(C, D, power=0.5)
    loaded.load_state_dict(saved.state_dict())
    expected = component(power=0.5).probability * torch.tensor([1.1, 0.9, 1.0, 1.21])
    torch.testing.assert_close(loaded.probability, expected)
    again = FASA(C, D, power=0.5)
    again.load_state_dict(loaded.state_dict())
    assert torch.equal(again.probability, loaded.probability)
    # an older checkpoint tells neither epoch nor power, which is taken to be the present one
    old = saved.state_dict()
    del old['base_power'], old['adapted']
    same = FASA(C, D, power=0.5)
    same.load_state_dict(old)
    assert torch.equal(same.probability, saved.probability)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_what_is_not_finite_does_not_count(dtype, value):
    fasa, plain = component(), component()
    labels, features = torch.tensor([0, 0, 0, 1, 1, 2]), torch.randn(6, D).to(dtype)
    losses = torch.rand(6).to(dtype)
    kept = [0, 2, 3]
    plain.update(features[kept], labels[kept], losses[kept])
    features[1, 0] = features[5] = value
    losses[4] = value
    fasa.update(features, labels, losses)
    for name, buffer in fasa.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name), msg=name)
        assert buffer.isfinite().all(), name
    assert fasa.seen.tolist() == [True, True, False, False]


def test_draws_follow_inverse_frequency_and_the_normal_distribution():
    fasa = component(num_virtual=400_000)
    fasa.mean.copy_(torch.randn(C, D))
    fasa.variance.copy_(torch.rand(C, D) + 0.5)
    fasa.seen.copy_(torch.tensor([True, True, True, False]))
    features, labels, weights = fasa.sample()
    share = torch.bincount(labels, minlength=C) / len(labels)
    inverse = torch.tensor([1 / 120, 1 / 40, 1 / 8, 0])
    torch.testing.assert_close(share, inverse / inverse.sum(), atol=0.01, rtol=0)
    assert weights.all()
    for c in range(3):
        drawn = features[labels == c]
        torch.testing.assert_close(drawn.mean(0), fasa.mean[c], atol=0.06, rtol=0)
        torch.testing.assert_close(drawn.var(0), fasa.variance[c], atol=0.15, rtol=0)


def test_power_of_the_frequency():
    inverse = torch.tensor([1 / 120, 1 / 40, 1 / 8, 1 / 2])
    for power in (0.0, 0.5, 1.0):
        expected = inverse**power / (inverse**power).sum()
        torch.testing.assert_close(component(power=power).probability, expected)


def test_before_any_class_is_seen_nothing_counts():
    _, _, weights = component().sample()
    assert not weights.any()


def test_probabilities_adapt_to_the_trend_of_the_loss():
    fasa = component()
    start = fasa.probability.clone()
    features = torch.zeros(4, D)
    labels = torch.tensor([0, 1, 2, 4])
    fasa.update(features, labels, torch.tensor([2.0, 2.0, 2.0, 9.0]))
    fasa.set_epoch(1)
    assert torch.equal(fasa.probability, start)  # nothing to compare with yet
    fasa.update(features, labels, torch.tensor([1.0, 3.0, 2.0, 9.0]))
    fasa.set_epoch(2)
    factors = torch.tensor([1.1, 0.9, 1.0, 1.0])
    torch.testing.assert_close(fasa.probability, start * factors)
    fasa.set_epoch(2)  # a resumed run begins the epoch again
    torch.testing.assert_close(fasa.probability, start * factors)


def build(**kwargs):
    head = dict(type='FASABBoxHead', num_shared_fcs=1, in_channels=2, fc_out_channels=D)
    built = MODELS.build({**head, 'num_classes': C, 'adjustment': dict(type='IIF'), **kwargs})
    built.init_weights()
    built.set_class_frequency(FREQUENCY)
    return built.train()


def test_head_trains_the_predictor_on_virtual_features_of_later_epochs():
    head = build(fasa=dict(num_virtual=5))
    x = torch.randn(6, 2, 7, 7)
    labels = torch.tensor([0, 1, 2, 3, 4, 4])

    def losses():
        logits, _ = head(x)
        return head.loss(logits, None, None, labels, torch.ones(6), None, None)

    assert 'loss_fasa' not in losses()
    kept = nn.functional.relu(head.shared_fcs[0](x.flatten(1)))
    torch.testing.assert_close(head.fasa.mean, kept[:4])
    head.fasa.set_epoch(1)
    torch.manual_seed(1)
    found = losses()
    replay = deepcopy(head.fasa)
    torch.manual_seed(1)
    virtual, classes, _ = replay.sample()
    expected = nn.functional.cross_entropy(head.adjustment(head.fc_cls(virtual)), classes)
    torch.testing.assert_close(found['loss_fasa'], 0.1 * expected)
    found['loss_fasa'].backward()
    assert head.fc_cls.weight.grad.abs().sum() > 0
    assert head.shared_fcs[0].weight.grad is None
    assert 'loss_fasa' not in head.eval().loss(
        head(x)[0], None, None, labels, torch.ones(6), None, None
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_a_head_of_half_precision_trains_on_virtual_features(dtype):
    """Its statistics are in float32, its predictor is not."""
    head = build(fasa=dict(num_virtual=5, begin=0)).to(dtype)
    x, labels = torch.randn(6, 2, 7, 7, dtype=dtype), torch.tensor([0, 1, 2, 3, 4, 4])
    losses = head.loss(head(x)[0], None, None, labels, torch.ones(6), None, None)
    assert losses['loss_fasa'].isfinite() and head.fasa.mean.dtype == torch.float32
    losses['loss_fasa'].backward()
    assert head.fc_cls.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ('fasa', 'message'),
    [
        (dict(num_virtual=0), 'num_virtual is 0, expected a whole number >= 1'),
        (dict(decay=0), 'decay is 0, expected'),
        (dict(power=-1), 'power is -1'),
        (dict(up=0), 'up is 0'),
        (dict(down=0), 'down is 0'),
    ],
)
def test_bad_arguments(fasa, message):
    with pytest.raises(BadInputError, match=rf'fasa\.{message}'):
        build(fasa=fasa)


def test_losses_with_other_channels_are_refused():
    with pytest.raises(BadInputError, match=r"'LongTailSeesawLoss'.* expected 'CrossEntropyLoss'"):
        build(loss_cls=dict(type='LongTailSeesawLoss', num_classes=C))


def test_a_run_resumed_inside_an_epoch_does_not_adapt_again():
    module = FASA(2, 2)
    module.loss_sum.copy_(torch.tensor([[4.0, 4.0], [1.0, 1.0]]))
    module.last_loss.copy_(torch.tensor([5.0, 3.0]))
    module.set_epoch(3)
    adapted = module.probability.clone()
    assert not torch.equal(adapted, torch.full([2], 0.5))
    module.loss_sum.copy_(torch.tensor([[9.0, 1.0], [1.0, 1.0]]))
    again = FASA(2, 2)
    again.load_state_dict(module.state_dict())
    again.set_epoch(3)
    assert torch.equal(again.probability, adapted) and again.loss_sum.any()
    again.set_epoch(4)
    assert not torch.equal(again.probability, adapted)
    assert set(module.state_dict()) == set(module.data_buffers)
    # another training from these weights starts at epoch 0
    other = FASA(2, 2)
    other.load_state_dict(module.state_dict())
    other.set_epoch(0)
    assert torch.equal(other.probability, adapted)
    other.set_epoch(1)
    assert not torch.equal(other.probability, adapted)
