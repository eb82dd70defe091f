"""Class losses and rules in a box head: classes, what does not fit, what is refused."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from lt_det.errors import BadInputError
from lt_det.models.losses import FederatedLoss, LongTailEQLV2Loss

from .loss_cases import (
    LABELS,
    C,
    box_head,
    federated,
)

pytestmark = pytest.mark.usefixtures('mmdet_scope')


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
