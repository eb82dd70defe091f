"""Losses of the long tail in heads of MMDetection: where they are defined, and where refused."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.losses import check_loss, complete_losses, head_losses

C = 5
KEY = 'model.bbox_head'
SIGMOIDS = ['FederatedLoss', 'LongTailEQLV2Loss', 'EqualizedFocalLoss']
FREQUENCY = ClassFrequency([90, 30, 9, 3, 1], num_images=100)


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


ANCHORS = dict(type='AnchorGenerator', ratios=[1.0], scales=[4], strides=[8, 16])
ATSS = ConfigDict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1)
MAX_IOU = ConfigDict(
    assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
    sampler=dict(type='PseudoSampler'),
    allowed_border=-1,
    pos_weight=-1,
)
HUNGARIAN = ConfigDict(
    assigner=dict(
        type='HungarianAssigner',
        match_costs=[
            dict(type='FocalLossCost', weight=2.0),
            dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
            dict(type='IoUCost', iou_mode='giou', weight=2.0),
        ],
    )
)
DENSE = dict(
    RetinaHead=dict(
        stacked_convs=1,
        anchor_generator=ANCHORS,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        train_cfg=MAX_IOU,
    ),
    FCOSHead=dict(
        strides=[8, 16], regress_ranges=((-1, 32), (32, 1e8)), stacked_convs=1, norm_cfg=None
    ),
    ATSSHead=dict(
        anchor_generator=ANCHORS,
        stacked_convs=1,
        norm_cfg=dict(type='GN', num_groups=2),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        train_cfg=ATSS,
        reg_decoded_bbox=True,
        loss_bbox=dict(type='GIoULoss'),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
QUERY = dict(
    ConditionalDETRHead=dict(),
    DeformableDETRHead=dict(share_pred_layer=False, num_pred_layer=2, as_two_stage=False),
    DINOHead=dict(share_pred_layer=False, num_pred_layer=3, as_two_stage=True),
)
TEST = ConfigDict(
    nms_pre=50, score_thr=0.01, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20
)


def build(kind: str, loss: str | dict, classes: int = C) -> nn.Module:
    """A head of MMDetection, with completed losses."""
    loss = dict(type=loss) if isinstance(loss, str) else loss
    cfg = dict(type=kind, num_classes=classes, loss_cls=loss)
    if kind in DENSE:
        cfg |= dict(in_channels=8, feat_channels=8, test_cfg=TEST, **DENSE[kind])
    else:
        cfg |= dict(embed_dims=8, train_cfg=HUNGARIAN, test_cfg=TEST, **QUERY[kind])
    head = MODELS.build(complete_losses(cfg, KEY))
    check_loss(head, KEY)
    head.init_weights()
    for part in head.modules():
        if part is not head and hasattr(part, 'set_class_frequency'):
            part.set_class_frequency(FREQUENCY)
    return head


def images() -> list[DetDataSample]:
    samples = []
    for label in (1, 3):
        boxes = torch.tensor([[4.0, 6, 40, 38], [20, 22, 50, 60]])
        sample = DetDataSample(
            metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64), scale_factor=(1, 1))
        )
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([label, 0]))
        samples.append(sample)
    return samples


def features() -> tuple[Tensor, ...]:
    return tuple(torch.randn(2, 8, size, size) for size in (8, 4))


def class_gradient(head: nn.Module, losses: dict, name: str) -> Tensor:
    """Gradient of the sum of all losses to the classifier's weight."""
    total = sum(
        sum(value) if isinstance(value, list) else value
        for key, value in losses.items()
        if 'loss' in key
    )
    weight = dict(head.named_parameters())[name]
    return torch.autograd.grad(total, weight)[0]


CLASSIFIER = dict(
    RetinaHead='retina_cls.weight', FCOSHead='conv_cls.weight', ATSSHead='atss_cls.weight'
)


@pytest.mark.parametrize('kind', DENSE)
@pytest.mark.parametrize('loss', SIGMOIDS)
def test_dense_heads_train_and_predict_as_with_focal_loss(kind, loss):
    head = build(kind, loss)
    assert head.cls_out_channels == C
    samples, x = images(), features()
    losses = head.loss(x, samples)
    gradient = class_gradient(head, losses, CLASSIFIER[kind])
    assert gradient.isfinite().all()
    assert gradient.any()
    assert not any('acc' in key for key in losses)
    stock = build(kind, dict(type='FocalLoss', use_sigmoid=True))
    stock.load_state_dict(head.state_dict(), strict=False)
    for ours, theirs in zip(head.predict(x, samples), stock.predict(x, samples)):
        assert len(ours)
        for field in ('bboxes', 'scores', 'labels'):
            assert torch.equal(ours[field], theirs[field])


@pytest.mark.parametrize('kind', DENSE)
def test_equalized_focal_loss_without_scale_is_the_focal_loss_of_dense_heads(kind):
    ours = build(kind, dict(type='EqualizedFocalLoss', scale=0))
    stock = build(kind, dict(type='FocalLoss', use_sigmoid=True))
    stock.load_state_dict(ours.state_dict(), strict=False)
    x = features()
    pair = [(head, head.loss(x, images())) for head in (ours, stock)]
    assert pair[0][1].keys() == pair[1][1].keys()
    for key, value in pair[1][1].items():
        torch.testing.assert_close(pair[0][1][key], value)
    gradients = [class_gradient(*each, CLASSIFIER[kind]) for each in pair]
    torch.testing.assert_close(*gradients)


def naive_dense(loss: str, z: Tensor, labels: Tensor, divisor: float) -> Tensor:
    """First iteration: all classes are drawn, and EQLv2 has no gradients yet."""
    total = 0
    for row, label in zip(z, labels.tolist()):
        for c in range(C):
            p = row[c].sigmoid()
            p = p if c == label else 1 - p
            factor = 1.0
            if loss == 'EqualizedFocalLoss':
                factor = (0.25 if c == label else 0.75) * (1 - p) ** 2
            total = total - factor * p.log()
    return total / divisor


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('loss', SIGMOIDS)
def test_logits_without_a_background_channel(loss, dtype):
    z = torch.randn(7, C, dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 4, 2, C, C, C, C])
    for weight, rows in ((None, 7), (torch.tensor([1.0, 1, 1, 0, 0, 0, 0], dtype=dtype), 3)):
        built = MODELS.build(dict(type=loss, num_classes=C)).to(dtype)
        if loss == 'FederatedLoss':
            built.set_class_frequency(FREQUENCY)
        found = built(z, labels, weight, avg_factor=3.0)
        expected = naive_dense(loss, z[:rows], labels[:rows], 3.0)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            *(torch.autograd.grad(value, z)[0] for value in (found, expected)), rtol=1e-4, atol=1e-6
        )
    assert torch.equal(built.get_activation(z), z.sigmoid())
    assert built.get_accuracy(z, labels) == {}


def query_losses(head: nn.Module, kind: str) -> tuple[Tensor, dict]:
    """Logits of two decoder layers, and what the head makes of them."""
    layers, queries = 2, 6
    samples = images()
    gt = [sample.gt_instances for sample in samples]
    metas = [sample.metainfo for sample in samples]
    denoising = 4 if kind == 'DINOHead' else 0
    logits = torch.randn(layers, 2, queries + denoising, head.cls_out_channels)
    logits.requires_grad_()
    boxes = torch.rand(layers, 2, queries + denoising, 4) * 0.4 + 0.3
    if kind == 'ConditionalDETRHead':
        return logits, head.loss_by_feat(logits, boxes, gt, metas)
    more = {}
    if denoising:
        more['dn_meta'] = dict(num_denoising_queries=denoising, num_denoising_groups=1)
    encoder = (torch.randn(2, 9, C), torch.rand(2, 9, 4)) if denoising else (None, None)
    return logits, head.loss_by_feat(logits, boxes, *encoder, gt, metas, **more)


@pytest.mark.parametrize('kind', QUERY)
@pytest.mark.parametrize('loss', SIGMOIDS)
def test_query_heads_train(kind, loss):
    head = build(kind, loss)
    assert head.cls_out_channels == C
    logits, losses = query_losses(head, kind)
    if kind == 'DINOHead':
        assert {'enc_loss_cls', 'dn_loss_cls', 'd0.dn_loss_cls'} <= losses.keys()
    value = sum(value for key, value in losses.items() if 'loss' in key)
    value.backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.flatten(2).any(2).all()


@pytest.mark.parametrize('kind', QUERY)
def test_equalized_focal_loss_without_scale_is_the_focal_loss_of_query_heads(kind):
    found = []
    focal = dict(type='FocalLoss', use_sigmoid=True)
    for loss in (dict(type='EqualizedFocalLoss', scale=0), focal):
        head = build(kind, loss)
        torch.manual_seed(3)
        found.append(query_losses(head, kind)[1])
    for key, value in found[1].items():
        torch.testing.assert_close(found[0][key], value)


@pytest.mark.parametrize('loss', SIGMOIDS)
def test_sparse_rcnn_head(loss):
    head = MODELS.build(complete_losses(dii_head(loss), 'model.roi_head.bbox_head.0'))
    check_loss(head, 'model.roi_head.bbox_head.0')
    if loss == 'FederatedLoss':
        head.loss_cls.set_class_frequency(FREQUENCY)
    features, queries = torch.randn(4, 8, 3, 3), torch.randn(2, 2, 8)
    logits, boxes, *_ = head(features, queries)
    assert logits.shape == (2, 2, C)
    logits = logits.flatten(0, 1)
    labels = torch.tensor([1, C, 0, C])
    targets = labels, torch.ones(4), torch.rand(4, 4), torch.ones(4, 4)
    head.get_targets = lambda **_: targets
    losses = head.loss_and_target(logits, boxes.flatten(0, 1), [], None, torch.ones(2, 2, 4))
    (gradient,) = torch.autograd.grad(losses['loss_bbox']['loss_cls'], head.fc_cls.weight)
    assert gradient.isfinite().all()
    assert gradient.any()


def dii_head(loss: str) -> dict:
    convolution = dict(
        type='DynamicConv',
        in_channels=8,
        feat_channels=4,
        out_channels=8,
        input_feat_shape=3,
        act_cfg=dict(type='ReLU', inplace=True),
        norm_cfg=dict(type='LN'),
    )
    return dict(
        type='DIIHead',
        num_classes=C,
        in_channels=8,
        num_heads=2,
        num_cls_fcs=1,
        num_reg_fcs=1,
        feedforward_channels=8,
        dynamic_conv_cfg=convolution,
        loss_cls=dict(type=loss),
    )


REFUSED = [
    ('GFLHead', 'FederatedLoss', 'trains towards the overlap of each box'),
    ('RTMDetSepBNHead', 'EqualizedFocalLoss', 'trains towards the overlap of each box'),
    ('RTMDetInsSepBNHead', 'LongTailEQLV2Loss', 'trains towards the overlap of each box'),
    ('TOODHead', 'EqualizedFocalLoss', 'trains towards the overlap'),
    ('VFNetHead', 'EqualizedFocalLoss', 'trains towards the overlap'),
    ('YOLOXHead', 'EqualizedFocalLoss', 'trains towards the overlap'),
    ('CenterNetUpdateHead', 'FederatedLoss', 'trains towards heat maps'),
    ('SSDHead', 'LongTailSeesawLoss', 'computes its class loss by itself'),
    ('Mask2FormerHead', 'FederatedLoss', 'one softmax over classes and background'),
    ('MaskFormerHead', 'LongTailSeesawLoss', 'one softmax over classes and background'),
    ('SABLHead', 'FederatedLoss', 'one softmax over classes and background'),
    ('GroundingDINOHead', 'EqualizedFocalLoss', 'compares words'),
    ('RetinaHead', 'LongTailSeesawLoss', 'no channels for the softmax over object and background'),
    ('DETRHead', 'SeesawLoss', 'no channels for the softmax over object and background'),
    ('DIIHead', 'LongTailSeesawLoss', 'no channels for the softmax over object and background'),
    ('ATSSHead', 'EQLV2Loss', 'no channels for the background that belongs to it'),
    ('PAAHead', 'FederatedLoss', 'needs the loss of each row'),
    ('FSAFHead', 'LongTailEQLV2Loss', 'needs the loss of each row'),
]


@pytest.mark.parametrize(('head', 'loss', 'message'), REFUSED)
def test_refused_before_building(head, loss, message):
    config = dict(bbox_head=dict(type=head, num_classes=C, loss_cls=dict(type=loss)))
    expected = rf"^model\.bbox_head\.loss_cls\.type is '{loss}', but {head} .*{message}.*; expected"
    with pytest.raises(BadInputError, match=expected):
        complete_losses(config)


def test_refused_when_built():
    one_softmax = dict(type='DoubleConvFCBBoxHead', num_convs=1, num_fcs=1, num_classes=C)
    one_softmax |= dict(in_channels=8, conv_out_channels=8, with_avg_pool=True, roi_feat_size=3)
    head = MODELS.build(complete_losses(dict(one_softmax, loss_cls=dict(type='SeesawLoss'))))
    with pytest.raises(BadInputError, match='has 6 channels, not 7; expected'):
        check_loss(head, KEY)
    cfg = dict(DENSE['RetinaHead'], type='RetinaHead', num_classes=C, in_channels=8)
    head = MODELS.build(dict(cfg, loss_cls=dict(type='FederatedLoss', num_classes=C)))
    with pytest.raises(BadInputError, match=r'bbox_head\.loss_cls\.use_sigmoid is not given'):
        check_loss(head, KEY)
    other = dict(type='EqualizedFocalLoss', use_sigmoid=True)
    head = MODELS.build(dict(cfg, loss_cls=other))
    with pytest.raises(BadInputError, match=r'loss_cls\.num_classes is 1203, but .* is 5'):
        check_loss(head, KEY)
    with pytest.raises(BadInputError, match=r'head\.loss_cls\.num_classes is 7, but .* is 5'):
        complete_losses(dict(cfg, loss_cls=dict(other, num_classes=7)), KEY)
    costs = ConfigDict(assigner=dict(HUNGARIAN.assigner))
    costs.assigner.match_costs = [dict(type='ClassificationCost')]
    cfg = dict(type='DETRHead', num_classes=C, embed_dims=8, train_cfg=costs)
    head = MODELS.build(complete_losses(dict(cfg, loss_cls=dict(type='FederatedLoss'))))
    with pytest.raises(BadInputError, match=r"match_costs has 'ClassificationCost'"):
        check_loss(head, KEY)


def test_eqlv2_in_dino_needs_one_process(monkeypatch):
    monkeypatch.setattr(head_losses, 'get_world_size', lambda: 2)
    with pytest.raises(BadInputError, match="in all processes, .* expected 'EqualizedFocalLoss'"):
        build('DINOHead', 'LongTailEQLV2Loss')
    build('DINOHead', 'EqualizedFocalLoss')


@pytest.mark.parametrize('loss', ['LongTailEQLV2Loss', 'EqualizedFocalLoss'])
def test_gradients_of_proposals_are_not_counted_as_those_of_the_first_class(loss, monkeypatch):
    monkeypatch.setitem(QUERY['DeformableDETRHead'], 'as_two_stage', True)
    with pytest.raises(BadInputError, match='as if all were of class 0, .* as_two_stage=False'):
        build('DeformableDETRHead', loss)
    build('DeformableDETRHead', 'FederatedLoss')


def test_what_is_no_label_is_refused_by_the_loss():
    z, labels = torch.zeros(3, C), torch.zeros(3, dtype=torch.long)
    for name in SIGMOIDS:
        loss = MODELS.build(dict(type=name, num_classes=C))
        if name == 'FederatedLoss':
            loss.set_class_frequency(FREQUENCY)
        for targets in ((labels, labels.float()), torch.zeros(3, C), labels.float()):
            with pytest.raises(BadInputError, match=f"'{name}', but .* soft targets"):
                loss(z, targets)
        with pytest.raises(BadInputError, match='is 5, but the head gives it 9 channels'):
            loss(torch.zeros(3, 9), labels)


def test_other_parts_of_a_config_stay_as_they_are():
    config = ConfigDict(
        type='RetinaNet',
        neck=[dict(type='FPN'), None],
        bbox_head=dict(type='RetinaHead', num_classes=C, loss_cls=dict(type='FocalLoss')),
        rpn_head=dict(type='RPNHead'),
    )
    assert complete_losses(config) == config
    config.bbox_head.loss_cls = dict(type='FederatedLoss', power=1.0)
    completed = complete_losses(config)
    expected = dict(type='FederatedLoss', power=1.0, num_classes=C, use_sigmoid=True)
    assert completed.bbox_head.loss_cls == expected
    assert isinstance(completed, ConfigDict)
    assert config.bbox_head.loss_cls == dict(type='FederatedLoss', power=1.0)
    check_loss(nn.Identity(), KEY)
