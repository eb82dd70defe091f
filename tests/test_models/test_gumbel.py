"""Gumbel loss against its formula in loops, and in box heads."""

from __future__ import annotations

import math

import pytest
import torch
from mmdet.registry import MODELS
from torch import Tensor

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.losses import GumbelLoss, check_loss, complete_losses

from .loss_cases import LABELS, C, assert_same, box_head, logits, predicted

DTYPES = pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
FREQUENCY = ClassFrequency([900, 100, 9, 1], num_images=1000)
START = math.exp(-math.exp(2))  # score of the logit -2


pytestmark = pytest.mark.usefixtures('mmdet_scope')


def naive(z: Tensor, labels: Tensor, low: float = -4.0, high: float = 10.0) -> Tensor:
    """Binary cross-entropy (R, C + 1) of the scores, in float64."""
    rows = []
    for row, label in zip(z.double(), labels.tolist(), strict=True):
        scores = [(-(-value.clamp(low, high)).exp()).exp() for value in row]
        rows.append(
            torch.stack([-(p if c == label else 1 - p).log() for c, p in enumerate(scores)])
        )
    return torch.stack(rows)


@DTYPES
def test_equals_the_formula(dtype):
    loss = GumbelLoss(num_classes=C, loss_weight=2.0)
    weights = torch.rand(len(LABELS), dtype=dtype)
    for spread in (1, 5):  # the wide ones reach both limits
        x = (spread * logits(C + 1, dtype)).detach().requires_grad_()
        each = 2 * naive(x, LABELS)
        weighted = each * weights[:, None]
        for found, expected in (
            (loss(x, LABELS), each.mean()),
            (loss(x, LABELS, avg_factor=3.0), each.sum() / 3),
            (loss(x, LABELS, weights, 3.0), weighted.sum() / 3),
            (loss(x, LABELS, weights, reduction_override='sum'), weighted.sum()),
        ):
            assert_same(found, expected.to(dtype), x)
        found = loss(x, LABELS, weights, avg_factor=3.0, reduction_override='none')
        torch.testing.assert_close(found, weighted.to(dtype), rtol=1e-5, atol=1e-6)
    assert (x < -4).any() and (x > 10).any()


@DTYPES
def test_limits_of_the_logits(dtype):
    x = torch.tensor([[-90.0, -5.0, -2.0, 4.0, 90.0]], dtype=dtype, requires_grad=True)
    for limits in ((-4.0, 10.0), (-3.0, 3.0), (-80.0, 80.0)):
        for label in range(C + 1):
            loss = GumbelLoss(num_classes=C, limits=limits, reduction='sum')
            value = loss(x, torch.tensor([label]))
            (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
            assert value.isfinite() and gradient.isfinite().all()
            outside = (x < limits[0]) | (x > limits[1])
            assert (gradient[outside] == 0).all()
            if limits[1] < 80:  # beyond, the formula itself rounds to infinity
                expected = naive(x, torch.tensor([label]), *limits).sum()
                assert_same(value, expected.to(dtype), x)


def test_scores_that_round_to_zero_and_one_keep_their_losses():
    low, high = torch.tensor([[-4.0]]), torch.tensor([[10.0]])
    loss = GumbelLoss(num_classes=1, reduction='sum')
    target, other = torch.tensor([0]), torch.tensor([1])
    assert loss(low, target).item() == pytest.approx(math.exp(4), rel=1e-6)
    assert loss(high, target).item() == pytest.approx(math.exp(-10), rel=1e-6)
    # -ln(1 - p) is p where p is small, and z less a half of exp(-z) where it is near 1
    assert loss(low, other).item() == pytest.approx(math.exp(-math.exp(4)), rel=1e-5)
    assert loss(high, other).item() == pytest.approx(10 + math.exp(-10) / 2, rel=3e-7)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full(dtype):
    x = (5 * logits(C + 1, torch.float32)).detach().to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    loss = GumbelLoss(num_classes=C, test_with_obj=True)
    found, expected = (loss(z, LABELS, avg_factor=8.0) for z in (x, wide))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    found.backward()
    expected.backward()
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=eps, atol=1e-3 * eps)
    scores = [loss.get_activation(z).double() for z in (x, wide)]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-6)
    with torch.autocast('cpu', torch.bfloat16):
        assert loss(x.float(), LABELS, avg_factor=8.0).dtype == torch.float32


def test_no_rois_and_no_numbers():
    loss = GumbelLoss(num_classes=C)
    x = torch.zeros(0, C + 1, requires_grad=True)
    value = loss(x, torch.zeros(0, dtype=torch.long), torch.zeros(0), avg_factor=1.0)
    value.backward()
    assert value == 0 and x.grad.shape == x.shape
    x = logits(C + 1, torch.float32).detach()
    x[1, 2] = math.nan  # a step that mixed precision is to skip
    assert loss(x, LABELS).isnan()


def test_head_starts_where_the_authors_do_and_learns():
    head = box_head(loss_cls=dict(type='GumbelLoss'))
    assert head.fc_cls.bias.tolist() == [-2.0] * (C + 1)
    assert (head.fc_cls.weight == 0.001).all()
    rois, ones = torch.zeros(len(LABELS), 5), torch.ones(len(LABELS))
    features = torch.eye(len(LABELS), 6)
    optimizer = torch.optim.SGD(head.fc_cls.parameters(), lr=0.5)
    found = []
    for _ in range(30):
        losses = head.loss(head.fc_cls(features), None, rois, LABELS, ones, None, None)
        optimizer.zero_grad()
        losses['loss_cls'].backward()
        optimizer.step()
        found.append(losses)
    expected = math.exp(2) - C * math.log(1 - START)  # up to the small weights
    assert found[0]['loss_cls'].item() == pytest.approx(expected, rel=2e-3)
    assert found[-1]['loss_cls'] < 0.4 * found[0]['loss_cls']
    assert found[-1]['acc'].item() > found[0]['acc'].item()


def test_another_start_is_left_alone():
    given = dict(type='Normal', std=0.1, bias=3.0, override=dict(name='fc_cls'))
    head = box_head(loss_cls=dict(type='GumbelLoss'), init_cfg=[given])
    assert head.fc_cls.bias.tolist() == [3.0] * (C + 1)
    # equal weights have one direction
    cosine = dict(type='CosineLinear', scale=20.0)
    head = box_head(loss_cls=dict(type='GumbelLoss'), cls_predictor_cfg=cosine)
    assert head.fc_cls.weight.std() > 0


@DTYPES
def test_head_predicts_by_the_distribution(dtype):
    head = box_head(loss_cls=dict(type='GumbelLoss')).to(dtype).eval()
    x = torch.randn(3, C + 1, dtype=dtype)
    scores = [[math.exp(-math.exp(-z)) for z in row] for row in x.tolist()]
    expected = torch.tensor(scores, dtype=dtype)
    torch.testing.assert_close(predicted(head, x), expected[:, :C], rtol=1e-5, atol=1e-6)
    loss = dict(type='GumbelLoss', test_with_obj=True)
    head = box_head(loss_cls=loss).to(dtype).eval()
    expected[:, :C] *= 1 - expected[:, C:]
    torch.testing.assert_close(predicted(head, x), expected[:, :C], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(head.loss_cls.get_activation(x), expected, rtol=1e-5, atol=1e-6)


def test_number_of_classes_is_that_of_the_head():
    assert box_head(loss_cls=dict(type='GumbelLoss')).loss_cls.num_classes == C
    wrong = r'loss_cls\.num_classes is 20, but bbox_head\.num_classes is 4; expected 4'
    for kind in ('LongTailBBoxHead', 'ConvFCBBoxHead'):
        with pytest.raises(BadInputError, match=wrong):
            box_head(type=kind, loss_cls=dict(type='GumbelLoss', num_classes=20))
    with pytest.raises(BadInputError, match='is 4, but the head gives it 9 channels'):
        GumbelLoss(num_classes=C)(torch.zeros(8, 9), LABELS)
    stock = dict(type='Shared2FCBBoxHead', num_classes=C, loss_cls=dict(type='GumbelLoss'))
    completed = complete_losses(stock)
    assert completed['loss_cls'] == dict(type='GumbelLoss', num_classes=C)
    check_loss(MODELS.build(completed), 'model.roi_head.bbox_head')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(limits=(10.0, -4.0)), r'limits is \(10.0, -4.0\), expected two rising numbers in \['),
        (dict(limits=(-4.0, 100.0)), r'limits is .*, expected two rising numbers in \[-80, 80\]'),
        (dict(limits=[1.0]), r'limits is \[1.0\], expected two'),
        (dict(limits=4.0), 'limits is 4.0, expected two'),
        (dict(reduction='median'), "reduction is 'median', expected one of .'mean', 'sum', 'none'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(BadInputError, match=rf'loss_cls\.{message}'):
        MODELS.build(dict(type='GumbelLoss', **arguments))


@pytest.mark.parametrize('rule', [dict(type='IIF'), dict(type='PriorShift', stage='test')])
def test_rules_have_no_meaning_for_the_scores(rule):
    message = r"adjustment is given, but .*loss_cls\.type is 'GumbelLoss', .* expected no adj"
    with pytest.raises(BadInputError, match=r'bbox_head\.' + message):
        box_head(loss_cls=dict(type='GumbelLoss'), adjustment=rule)


@pytest.mark.parametrize('head', ['RetinaHead', 'DIIHead'])
def test_heads_without_a_background_channel_refuse_it(head):
    config = dict(bbox_head=dict(type=head, num_classes=C, loss_cls=dict(type='GumbelLoss')))
    message = rf"^model\.bbox_head\.loss_cls\.type is 'GumbelLoss', but {head} has no channels for"
    with pytest.raises(BadInputError, match=message):
        complete_losses(config)
