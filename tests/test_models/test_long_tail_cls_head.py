"""The classification head against LinearClsHead and against the formulas of the adjustments."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from torch import nn

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.classifiers import LongTailClsHead

COUNTS = [300, 60, 40, 5]
FREQUENCY = ClassFrequency(COUNTS)
C, D = 4, 6


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def samples(soft: bool = False) -> list[DataSample]:
    labels = torch.tensor([0, 3, 2, 1, 0])
    if not soft:
        return [DataSample().set_gt_label(label) for label in labels]
    scores = torch.rand(5, C).softmax(1)
    return [DataSample().set_gt_label(y).set_gt_score(s) for y, s in zip(labels, scores)]


def pair(**kwargs) -> tuple[LinearClsHead, LongTailClsHead]:
    """The stock head, and ours with its weights."""
    stock = LinearClsHead(C, D, **{k: v for k, v in kwargs.items() if k in ('loss', 'cal_acc')})
    ours = LongTailClsHead(C, D, **kwargs)
    ours.set_class_frequency(FREQUENCY)
    nn.init.normal_(stock.fc.weight)
    nn.init.normal_(stock.fc.bias)
    ours.load_state_dict(stock.state_dict(), strict=False)
    return stock, ours


def test_without_adjustment_it_is_the_stock_head():
    stock, ours = pair(cal_acc=True)
    feats = (torch.randn(5, D),)
    assert stock.loss(feats, samples()) == ours.loss(feats, samples())
    theirs, mine = stock.predict(feats), ours.predict(feats)
    assert all(torch.equal(a.pred_score, b.pred_score) for a, b in zip(theirs, mine))
    assert {name for name, _ in ours.named_parameters()} == {'fc.weight', 'fc.bias'}


@pytest.mark.parametrize(
    ('loss', 'soft'),
    [
        (dict(type='CrossEntropyLoss'), False),
        (dict(type='CrossEntropyLoss', use_soft=True), True),
        (dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=C), False),
        (dict(type='FocalLoss'), False),
        (dict(type='AsymmetricLoss'), True),
        (dict(type='SeesawLoss', num_classes=C), False),
    ],
)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_every_loss_sees_the_adjusted_logits(loss, soft, dtype):
    stock, ours = pair(adjustment=dict(type='IIF', link='smooth'), loss=loss)
    stock, ours = stock.to(dtype), ours.to(dtype)
    feats = torch.randn(5, D, dtype=dtype)
    # the buffers of an adjustment are float32
    weight = torch.tensor([math.log((sum(COUNTS) + 1) / (n + 1)) + 1 for n in COUNTS]).to(dtype)
    data = samples(soft)
    targets = [s.gt_score if soft else s.gt_label for s in data]
    targets = torch.stack(targets) if soft else torch.cat(targets)
    expected = stock.loss_module(weight * stock.fc(feats), targets, avg_factor=5)
    found = ours.loss((feats,), data)['loss']
    if isinstance(expected, dict):
        expected, found = sum(expected.values()), sum(found.values())
    torch.testing.assert_close(found, expected)
    theirs = torch.autograd.grad(expected, list(stock.fc.parameters()))
    mine = torch.autograd.grad(found, list(ours.fc.parameters()))
    torch.testing.assert_close(mine, theirs)


def test_stages_of_an_adjustment():
    stock, trained = pair(adjustment=dict(type='PriorShift', tau=1.0, stage='train'))
    feats = (torch.randn(5, D),)
    logits = stock(feats)
    prior = (torch.tensor(COUNTS) / sum(COUNTS)).log()
    torch.testing.assert_close(trained.train()(feats), logits + prior)
    torch.testing.assert_close(trained.eval()(feats), logits)
    _, tested = pair(adjustment=dict(type='PriorShift', tau=1.0, stage='test'))
    torch.testing.assert_close(tested.train()(feats), stock(feats) * 0 + tested.fc(feats[0]))
    torch.testing.assert_close(tested.eval()(feats), tested.fc(feats[0]) - prior)


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0])
def test_tau_norm_divides_the_weights_and_drops_the_bias(tau):
    _, head = pair(adjustment=dict(type='TauNorm', tau=tau, stage='test'))
    feats = torch.randn(5, D)
    rows = [w / w.square().sum().sqrt() ** tau for w in head.fc.weight]
    expected = torch.stack([feats @ row for row in rows], 1)
    torch.testing.assert_close(head.eval()((feats,)), expected)
    with torch.no_grad():
        head.fc.weight.mul_(torch.tensor([1.0, 2, 3, 4])[:, None])
    other = LongTailClsHead(C, D, adjustment=dict(type='TauNorm', tau=tau, stage='test')).eval()
    load_state_dict(other, head.state_dict())  # into a model that is in evaluation mode already
    torch.testing.assert_close(other((feats,)), head.eval()((feats,)))


def test_learned_scale_is_all_that_trains():
    _, head = pair(adjustment=dict(type='LearnedScale'), train_predictor=False)
    feats = (torch.randn(5, D),)
    torch.testing.assert_close(head(feats), head.fc(feats[0]))
    head.loss(feats, samples())['loss'].backward()
    moved = {name for name, p in head.named_parameters() if p.grad is not None}
    assert moved == {'adjustment.factor'}
    with torch.no_grad():
        head.adjustment.scale.copy_(torch.tensor([1.0, 2, 3, 4]))
    copy = LongTailClsHead(C, D, adjustment=dict(type='LearnedScale'))
    copy.load_state_dict(head.state_dict())
    torch.testing.assert_close(copy(feats), head.fc(feats[0]) * torch.tensor([1.0, 2, 3, 4]))


def test_cosine_predictor():
    cfg = dict(type='CosineLinear', scale=16.0)
    head = LongTailClsHead(C, D, cls_predictor_cfg=cfg)
    head.init_weights()
    feats = torch.randn(5, D)
    weights = head.fc.weight.detach()
    expected = [[16 * (x @ w) / (x.norm() * w.norm()) for w in weights] for x in feats]
    torch.testing.assert_close(head((feats,)), torch.tensor(expected))
    for bad, message in (
        (dict(type='Cosine'), "cls_predictor_cfg.type is 'Cosine', expected 'Linear'"),
        (dict(type='CosineLinear', size=3), "cls_predictor_cfg=.*'size'"),
    ):
        with pytest.raises(BadInputError, match=message):
            LongTailClsHead(C, D, cls_predictor_cfg=bad)


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, load_state_dict])
def test_counts_in_a_softmax_checkpoint_serve_an_adjustment(load):
    _, softmax = pair()
    head = LongTailClsHead(C, D, adjustment=dict(type='IIF', link='smooth', stage='test'))
    load(head, deepcopy(softmax.state_dict()), strict=False)
    assert head.adjustment.frequency == FREQUENCY
    feats = (torch.randn(5, D),)
    weight = torch.tensor([math.log((sum(COUNTS) + 1) / (n + 1)) + 1 for n in COUNTS])
    torch.testing.assert_close(head.eval()(feats), weight * softmax(feats))


def test_other_number_of_classes():
    with pytest.raises(BadInputError, match=r'head\.num_classes=4, the data set has 3 classes'):
        LongTailClsHead(C, D).set_class_frequency(ClassFrequency([1, 2, 3]))


def test_losses_and_gradients_reach_the_backbone_through_a_classifier():
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=dict(num_classes=C),
            backbone=dict(type='CIFARResNet', depth=20),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LongTailClsHead',
                num_classes=C,
                in_channels=64,
                adjustment=dict(type='IIF'),
                loss=dict(type='CrossEntropyLoss', use_soft=True),
            ),
            train_cfg=dict(
                augments=[dict(type='Mixup', alpha=0.2), dict(type='CutMix', alpha=1.0)]
            ),
        )
    )
    model.init_weights()
    model.head.set_class_frequency(FREQUENCY)
    images = list(torch.randint(0, 255, (5, 3, 32, 32), dtype=torch.uint8))
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples()), training=True)
    assert 'gt_score' in data['data_samples'][0]
    model(**data, mode='loss')['loss'].backward()
    assert model.backbone.conv1.weight.grad.abs().sum() > 0


def test_losses_have_the_classes_of_the_head():
    seesaw = dict(type='SeesawLoss')
    assert LongTailClsHead(C, D, loss=seesaw).loss_module.num_classes == C
    inside = LongTailClsHead(C, D, loss=dict(type='ClassBalancedLoss', loss=seesaw))
    assert inside.loss_module.loss.num_classes == C
    assert 'num_classes' not in seesaw
    wrong = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=7)
    with pytest.raises(BadInputError, match=r'head\.loss\.num_classes is 7, .* expected 4'):
        LongTailClsHead(C, D, loss=wrong)
    with pytest.raises(BadInputError, match=r'head\.loss\.loss\.num_classes is 7'):
        LongTailClsHead(C, D, loss=dict(type='ClassBalancedLoss', loss=wrong))


def test_features_of_other_width_are_named():
    head = LongTailClsHead(C, D)
    with pytest.raises(BadInputError, match=r'head.in_channels is 6, but .* have 9 channels'):
        head((torch.randn(2, 9),))


@pytest.mark.parametrize('type', ['CosineLinear', 'NormedLinear'])
def test_norms_of_a_classifier_that_normalises_them(type):
    """The rule would scale by norms that have no effect there."""
    arguments = dict(adjustment=dict(type='TauNorm', tau=0.5), cls_predictor_cfg=dict(type=type))
    with pytest.raises(BadInputError, match=f"head.adjustment.type is 'TauNorm', .* is '{type}'"):
        LongTailClsHead(C, D, **arguments)
    arguments['cls_predictor_cfg'] = dict(type='Linear')
    assert LongTailClsHead(C, D, **arguments).adjustment is not None
