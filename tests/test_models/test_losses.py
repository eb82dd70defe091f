"""The losses of peers against their formulas in loops, and against MMDetection's own."""

from __future__ import annotations

import math

import pytest
import torch
from mmdet.models.losses import EQLV2Loss, SeesawLoss
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from speed.ballad_cost import PeakBytes
from torch import Tensor, nn

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.losses import FederatedLoss, LongTailEQLV2Loss, LongTailSeesawLoss

C = 4
LABELS = torch.tensor([0, 0, 0, 1, 2, 4, 4, 4])
DTYPES = pytest.mark.parametrize('dtype', [torch.float32, torch.float64])


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def logits(channels: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(len(LABELS), channels, dtype=dtype, requires_grad=True)


def assert_same(ours: Tensor, theirs: Tensor, x: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    gradients = (torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def naive_seesaw(z: Tensor, labels: Tensor, count: list[float], p: float, q: float) -> Tensor:
    """Mean over positives of -ln sigma, equations 3 to 8 of arXiv 2008.10032."""
    total = 0
    positive = [i for i in range(len(labels)) if labels[i] < C]
    for i in positive:
        y, classes = int(labels[i]), z[i, :C]
        probability = classes.detach().softmax(0)
        below = 0
        for j in range(C):
            mitigation = min(1.0, (max(count[j], 1) / max(count[y], 1)) ** p)
            ratio = (probability[j] / probability[y].clamp(min=1e-2)).item()
            compensation = max(1.0, ratio**q)
            factor = 1.0 if j == y else mitigation * compensation
            below = below + factor * classes[j].exp()
        total = total - classes[y] + below.log()
    return total / len(positive)


@DTYPES
def test_seesaw_equals_the_formula_over_several_batches(dtype):
    loss = LongTailSeesawLoss(num_classes=C).to(dtype)
    count = [0.0] * C
    for _ in range(3):
        x = logits(C + 2, dtype)
        for label in LABELS.tolist():
            if label < C:
                count[label] += 1
        losses = loss(x, LABELS)
        assert_same(losses['loss_cls_classes'], naive_seesaw(x, LABELS, count, 0.8, 2.0), x)
        objects = nn.functional.cross_entropy(x[:, C:], (LABELS == C).long())
        assert_same(losses['loss_cls_objectness'], objects, x)
    assert loss.cum_samples.tolist() == [9, 3, 3, 0, 9]


@DTYPES
@pytest.mark.parametrize(('avg_factor', 'reduction'), [(None, None), (5.0, None), (None, 'sum')])
def test_seesaw_is_that_of_mmdetection_in_one_process(dtype, avg_factor, reduction):
    ours, theirs = (kind(num_classes=C).to(dtype) for kind in (LongTailSeesawLoss, SeesawLoss))
    weights = torch.rand(len(LABELS))
    for _ in range(2):
        x = logits(C + 2, dtype)
        found, expected = (
            loss(x, LABELS, weights, avg_factor, reduction) for loss in (ours, theirs)
        )
        for key in expected:
            assert_same(found[key], expected[key], x)
    assert torch.equal(ours.cum_samples, theirs.cum_samples)
    assert torch.equal(ours.get_activation(x), theirs.get_activation(x))


@pytest.mark.parametrize('p', [0.0, 0.8])
@pytest.mark.parametrize('q', [0.0, 2.0])
def test_seesaw_of_many_classes_takes_a_fraction_of_the_memory(p, q):
    classes, rois = 300, 200
    x = (5 * torch.randn(rois, classes + 2)).requires_grad_()
    labels = torch.randint(classes + 1, (rois,))
    peaks = []
    for kind in (LongTailSeesawLoss, SeesawLoss):
        loss = kind(num_classes=classes, p=p, q=q)
        loss.cum_samples[:-1] = torch.logspace(0, 5, classes)
        # of MMDetection's the part that sees all classes, its positives alone
        rows = labels < classes if kind is SeesawLoss else slice(None)
        with PeakBytes() as counter:
            value = loss(x[rows], labels[rows])['loss_cls_classes']
            (gradient,) = torch.autograd.grad(value, x)
        peaks.append(counter.peak / x.nbytes)
        found = (value, gradient)
        if kind is LongTailSeesawLoss:
            ours = found
    torch.testing.assert_close(ours, found, rtol=1e-5, atol=1e-6)
    assert peaks[0] < 4.5
    if p and q:
        assert peaks[1] > 10


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_seesaw_of_half_precision_is_computed_in_full(dtype):
    x = (40 * logits(C + 2, torch.float32)).detach().to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    found, expected = (
        sum(LongTailSeesawLoss(num_classes=C)(z, LABELS).values()) for z in (x, wide)
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-2)
    found.backward()
    expected.backward()
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=4 * eps, atol=4 * eps)


def test_seesaw_without_positives():
    x = torch.randn(3, C + 2, requires_grad=True)
    losses = LongTailSeesawLoss(num_classes=C)(x, torch.full([3], C))
    sum(losses.values()).backward()
    assert losses['loss_cls_classes'] == 0
    assert torch.isfinite(x.grad).all()


@DTYPES
def test_eqlv2_equals_the_formula_over_several_batches(dtype):
    loss = LongTailEQLV2Loss(num_classes=C).to(dtype)
    positive, negative = [0.0] * C, [0.0] * C
    ratio = [100.0] * C
    for _ in range(3):
        x = logits(C + 1, dtype)
        expected = 0
        gained = [[0.0] * C, [0.0] * C]
        for i, label in enumerate(LABELS.tolist()):
            for c in range(C + 1):
                f = 1.0 if c == C else 1 / (1 + math.exp(-12 * (ratio[c] - 0.8)))
                weight = 1 + 4 * (1 - f) if c == label else f
                score = x[i, c].sigmoid()
                expected = expected - weight * (score if c == label else 1 - score).log()
                if c < C:
                    size = (1 - score if c == label else score).item() * weight
                    gained[c != label][c] += size
        for c in range(C):
            positive[c] += gained[0][c]
            negative[c] += gained[1][c]
            ratio[c] = positive[c] / (negative[c] + 1e-10)
        assert_same(loss(x, LABELS), expected / len(LABELS), x)
    torch.testing.assert_close(loss.pos_neg, torch.tensor(ratio, dtype=dtype), rtol=1e-4, atol=0)


@DTYPES
def test_eqlv2_is_that_of_mmdetection_in_one_process(dtype):
    ours, theirs = (kind(num_classes=C).to(dtype) for kind in (LongTailEQLV2Loss, EQLV2Loss))
    for _ in range(3):
        x = logits(C + 1, dtype)
        assert_same(ours(x, LABELS, torch.ones(len(LABELS))), theirs(x, LABELS), x)
    assert not any(isinstance(value, Tensor) for value in vars(ours).values())
    half = ours(x, LABELS, torch.full([len(LABELS)], 0.5))
    assert half < ours(x, LABELS)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_eqlv2_does_not_count_what_is_not_finite(dtype, value):
    loss, plain = LongTailEQLV2Loss(num_classes=C), LongTailEQLV2Loss(num_classes=C)
    x = logits(C + 1, dtype).detach()
    plain(x[2:], LABELS[2:])
    x[0, 1] = x[1] = value
    assert not loss(x, LABELS).isfinite()
    for name, buffer in loss.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name), msg=name)
    assert loss(logits(C + 1, dtype), LABELS).isfinite()


@DTYPES
def test_eqlv2_head_predicts_by_sigmoids(dtype):
    loss = dict(type='LongTailEQLV2Loss', num_classes=C)
    head = box_head(loss_cls=loss).to(dtype).eval()
    x = torch.randn(3, C + 1, dtype=dtype)
    expected = torch.tensor(
        [
            [1 / (1 + math.exp(-row[c])) * (1 - 1 / (1 + math.exp(-row[C]))) for c in range(C)]
            for row in x.tolist()
        ],
        dtype=dtype,
    )
    torch.testing.assert_close(predicted(head, x), expected, rtol=1e-5, atol=1e-6)
    plain = LongTailEQLV2Loss(num_classes=C, test_with_obj=False)
    torch.testing.assert_close(plain.get_activation(x), x.sigmoid())


def box_head(**kwargs):
    cfg = dict(type='LongTailBBoxHead', num_shared_fcs=1, in_channels=2, fc_out_channels=6)
    head = MODELS.build({**cfg, 'num_classes': C, 'reg_class_agnostic': True, **kwargs})
    head.init_weights()
    return head


def predicted(head, x: Tensor) -> Tensor:
    """Class scores (R, C) that the head gives for logits."""
    rois = torch.tensor([[0.0, 1, 1, 9, 9]]).repeat(len(x), 1).to(x)
    meta = dict(img_shape=(20, 20), scale_factor=(1, 1))
    deltas = x.new_zeros(len(x), 4)
    (result,) = head.predict_by_feat((rois,), (x,), (deltas,), [meta])
    return result.scores[:, :C]


FREQUENCY = ClassFrequency([900, 100, 9, 0], num_images=1000)


def federated(**kwargs) -> FederatedLoss:
    loss = FederatedLoss(num_classes=C, **kwargs)
    loss.set_class_frequency(FREQUENCY)
    return loss


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


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        (
            dict(type='FederatedLoss', num_sampled=0),
            'num_sampled is 0, expected a whole number',
        ),
        (dict(type='FederatedLoss', power=-1), 'power is -1, expected'),
        (dict(type='FederatedLoss', use_sigmoid=False), 'use_sigmoid is False, expected True'),
        (dict(type='LongTailEQLV2Loss', use_sigmoid=False), 'EQLv2 needs sigmoids'),
        (dict(type='LongTailSeesawLoss', use_sigmoid=True), 'Seesaw loss needs a softmax'),
    ],
)
def test_bad_arguments(loss, message):
    with pytest.raises(BadInputError, match=message):
        MODELS.build(loss)


CLASS_LOSSES = ['LongTailSeesawLoss', 'SeesawLoss', 'LongTailEQLV2Loss', 'FederatedLoss']


@pytest.mark.parametrize('name', CLASS_LOSSES)
@pytest.mark.parametrize('more', [{}, dict(adjustment=dict(type='IIF'))])
def test_losses_have_the_classes_of_their_head(name, more):
    head = box_head(loss_cls=dict(type=name), **more)
    assert head.loss_cls.num_classes == C
    wrong = r'loss_cls\.num_classes is 20, but bbox_head\.num_classes is 4; expected 4'
    with pytest.raises(BadInputError, match=wrong):
        box_head(loss_cls=dict(type=name, num_classes=20), **more)
    if name != 'SeesawLoss':  # in a head of MMDetection
        with pytest.raises(BadInputError, match=wrong):
            box_head(type='ConvFCBBoxHead', loss_cls=dict(type=name, num_classes=20))


def test_features_of_other_width_are_named():
    with pytest.raises(BadInputError, match=r'in_channels is \d+, but the RoI features have 99'):
        box_head()(torch.zeros(2, 99, 1, 1))


def test_reductions_that_are_not_defined():
    for loss in (federated(), LongTailEQLV2Loss(num_classes=C)):
        with pytest.raises(BadInputError, match="reduction is 'none', expected 'mean'"):
            loss(torch.zeros(8, C + 1), LABELS, reduction_override='none')
    with pytest.raises(RuntimeError, match='ClassFrequencyHook'):
        FederatedLoss(num_classes=C)(torch.zeros(8, C + 1), LABELS)


def test_adjustments_that_do_not_fit():
    seesaw = dict(type='LongTailSeesawLoss', num_classes=C)
    for rule in (dict(type='NorCal', gamma=0.3), [dict(type='IIF'), dict(type='FRACAL')]):
        with pytest.raises(BadInputError, match=r"foreground against .*'LongTailSeesawLoss' has"):
            box_head(loss_cls=seesaw, adjustment=rule)
    assert box_head(loss_cls=seesaw, adjustment=dict(type='IIF')).adjustment.scale.shape == (C + 2,)
    with pytest.raises(
        BadInputError, match=r'loss_cls\.adjustment is given.*bbox_head\.adjustment'
    ):
        twice = dict(type='CrossEntropyLoss', adjustment=dict(type='IIF'))
        box_head(loss_cls=twice, adjustment=dict(type='IIF'))
    with pytest.raises(BadInputError, match=r"cls_predictor_cfg\.type is 'CosineLinear', expected"):
        box_head(adjustment=dict(type='TauNorm'), cls_predictor_cfg=dict(type='CosineLinear'))


def test_tau_norm_reads_the_classifier_it_predicts_with():
    head = box_head(adjustment=dict(type='TauNorm', tau=0.5))
    other = box_head()
    nn.init.normal_(other.fc_cls.weight)
    nn.init.normal_(other.fc_cls.bias)
    head.eval()
    head.load_state_dict(other.state_dict(), strict=False)
    x = torch.randn(3, 2, 7, 7)
    weight, bias = other.fc_cls.weight, other.fc_cls.bias
    plain, _ = other(x)
    expected = plain.clone()
    for c in range(C):
        expected[:, c] = (plain[:, c] - bias[c]) / weight[c].square().sum().sqrt() ** 0.5
    torch.testing.assert_close(head(x)[0], expected)
    with torch.no_grad():
        head.fc_cls.weight *= 2
    head.train().eval()
    torch.testing.assert_close(head.adjustment.scale[:C], (2 * weight).norm(dim=1)[:C] ** -0.5)
