"""Box deltas of the classes that are asked for against those of all classes."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmdet.models.losses import SmoothL1Loss, carl_loss
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor, nn

from lt_det.models.layers import class_indexed_linear
from lt_det.models.layers.class_indexed_linear import ClassIndexedLinear, ClassIndexedOutputs

from .two_detectors import assert_alike

C = 6
CONFIGS = Path(__file__).parents[2] / 'configs'
HEAD = dict(
    type='LongTailBBoxHead', num_shared_fcs=1, in_channels=4, fc_out_channels=8, num_classes=C
)
TOLERANCE = {torch.float32: dict(rtol=1e-5, atol=1e-6), torch.float64: dict(rtol=1e-12, atol=1e-14)}
DTYPES = pytest.mark.parametrize('dtype', TOLERANCE)


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def pair(**kwargs) -> tuple[nn.Module, nn.Module]:
    """Ours and stock, with the same weights."""
    ours = MODELS.build({**HEAD, **kwargs})
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    kwargs.pop('class_indexed_reg', None)
    stock = MODELS.build({**HEAD, **kwargs, 'type': 'ConvFCBBoxHead'})
    stock.load_state_dict(ours.state_dict())
    ours.load_state_dict(stock.state_dict())
    return ours, stock


@DTYPES
@pytest.mark.parametrize('bias', [True, False])
def test_outputs_equal_a_loop(dtype, bias):
    layer = ClassIndexedLinear(8, 4 * C, num_classes=C, bias=bias).to(dtype)
    x = torch.randn(5, 8, dtype=dtype, requires_grad=True)
    labels = torch.tensor([5, 0, 3, 3, 1])
    expected = torch.stack(
        [
            torch.stack(
                [
                    (layer.weight[4 * c + k] * x[r]).sum() + (layer.bias[4 * c + k] if bias else 0)
                    for k in range(4)
                ]
            )
            for r, c in enumerate(labels)
        ]
    )
    outputs = layer(x)
    torch.testing.assert_close(outputs.at(labels), expected, **TOLERANCE[dtype])
    parameters = [x, *layer.parameters()]
    gradients = [
        torch.autograd.grad(each.square().sum(), parameters)
        for each in (outputs.at(labels), expected)
    ]
    torch.testing.assert_close(*gradients, **TOLERANCE[dtype])
    assert torch.equal(outputs.whole(), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize('slower', [0.0, 1.0, 1e9])
def test_pairs_one_by_one_or_from_all(slower, monkeypatch):
    monkeypatch.setattr(class_indexed_linear, '_SLOWER', slower)
    monkeypatch.setattr(class_indexed_linear, '_CHUNK', 3)
    layer = ClassIndexedLinear(8, 4 * C, num_classes=C)
    outputs = layer(torch.randn(5, 8))
    expected = layer(outputs.features).whole().view(5, C, 4)
    for number in (7, 0, 40, 1):
        rows, labels = torch.randint(5, (number,)), torch.randint(C, (number,))
        torch.testing.assert_close(outputs.of(rows, labels), expected[rows, labels])
    # 48 pairs of 30 outputs
    assert (outputs._whole is not None) == (slower > 0)


def test_what_else_is_asked_is_asked_of_all_outputs():
    layer = ClassIndexedLinear(8, 4 * C, num_classes=C)
    outputs = layer(torch.randn(5, 8))
    assert outputs.view(5, C, 4).shape == (5, C, 4)
    assert outputs.size(1) == 4 * C
    first, second = outputs.split((2, 3))
    assert torch.equal(second.whole(), outputs[torch.tensor([2, 3, 4])].whole())
    assert len(first) == 2
    assert isinstance(deepcopy(ClassIndexedOutputs(layer, torch.zeros(1, 8))), ClassIndexedOutputs)
    traced = torch.jit.trace(layer, torch.randn(5, 8))
    x = torch.randn(5, 8)
    assert torch.equal(traced(x), layer(x).whole())


def inputs(dtype: torch.dtype, positives: int) -> tuple[Tensor, ...]:
    """Features, RoIs, labels, weights, targets and their weights."""
    corner = torch.rand(9, 2, dtype=dtype) * 20
    boxes = torch.cat([corner, corner + 4 + torch.rand(9, 2, dtype=dtype) * 20], 1)
    labels = torch.full((9,), C)
    labels[:positives] = torch.randint(C, (positives,))
    return (
        torch.randn(9, 4, 7, 7, dtype=dtype, requires_grad=True),
        torch.cat([torch.zeros(9, 1, dtype=dtype), boxes], 1),
        labels,
        torch.ones(9, dtype=dtype),
        torch.rand(9, 4, dtype=dtype) * 9,
        torch.rand(9, 4, dtype=dtype),
    )


@DTYPES
@pytest.mark.parametrize('positives', [0, 1, 4])
@pytest.mark.parametrize(
    'kwargs', [{}, dict(reg_decoded_bbox=True), dict(num_reg_fcs=1, with_cls=False)], ids=str
)
def test_losses_and_gradients_are_those_of_the_stock_head(dtype, positives, kwargs):
    ours, stock = (head.to(dtype) for head in pair(**kwargs))
    x, *targets = inputs(dtype, positives)
    found = []
    for head in (ours, stock):
        losses = head.loss(*head(x), *targets)
        total = sum(value for key, value in losses.items() if 'loss' in key)
        found.append((losses, torch.autograd.grad(total, [x, *head.parameters()])))
    assert found[0][0].keys() == found[1][0].keys()
    torch.testing.assert_close(found[0][0], found[1][0], **TOLERANCE[dtype])
    torch.testing.assert_close(found[0][1], found[1][1], **TOLERANCE[dtype])


def test_losses_without_reduction():
    ours, stock = pair()
    x, *targets = inputs(torch.float32, 4)
    found, expected = (
        head.loss(*head(x), *targets, reduction_override='none') for head in (ours, stock)
    )
    torch.testing.assert_close(found['loss_bbox'], expected['loss_bbox'])


@pytest.mark.parametrize('kwargs', [dict(reg_class_agnostic=True), dict(class_indexed_reg=False)])
def test_where_the_stock_path_stays(kwargs):
    ours, stock = pair(**kwargs)
    x = torch.randn(2, 4, 7, 7)
    assert torch.equal(ours(x)[1], stock(x)[1])
    assert type(ours.fc_reg) is type(stock.fc_reg)
    normed = dict(type='NormedLinear', power=0.5)
    assert isinstance(pair(reg_predictor_cfg=normed)[0](x)[1], Tensor)


def test_pisa_reads_all_deltas():
    ours, stock = pair()
    x, _, labels, _, targets, _ = inputs(torch.float32, 4)
    found = []
    for head in (ours, stock):
        logits, deltas = head(x)
        loss = SmoothL1Loss(reduction='none')
        found.append(carl_loss(logits, labels, deltas, targets, loss, num_class=C))
    torch.testing.assert_close(*found)


def detector(kind: str, indexed: bool) -> nn.Module:
    """A small Mask R-CNN, Cascade Mask R-CNN or HTC, each class with its deltas."""
    cfg = Config.fromfile(CONFIGS / '_base_' / 'models' / 'mask_rcnn_r50_fpn_lvis.py').model
    cfg.backbone.update(depth=18, base_channels=16, stem_channels=16, init_cfg=None)
    cfg.neck.update(in_channels=[16, 32, 64, 128], out_channels=16)
    cfg.rpn_head.update(in_channels=16, feat_channels=16)
    roi = cfg.roi_head
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 16
    roi.bbox_head.update(
        in_channels=16, fc_out_channels=32, num_classes=C, class_indexed_reg=indexed
    )
    roi.mask_head.update(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=C)
    cfg.train_cfg.rcnn.sampler.num = 32
    cfg.test_cfg.rcnn.max_per_img = 20
    if kind != 'StandardRoIHead':
        cfg.type = {'CascadeRoIHead': 'CascadeRCNN'}.get(kind, 'HybridTaskCascade')
        roi.update(type=kind, num_stages=3, stage_loss_weights=[1, 0.5, 0.25])
        roi.bbox_head = [deepcopy(roi.bbox_head) for _ in range(3)]
        roi.mask_head = [deepcopy(roi.mask_head) for _ in range(3)]
        if kind == 'HybridTaskCascadeRoIHead':
            for index, mask_head in enumerate(roi.mask_head):
                mask_head.update(type='ClassIndexedHTCMaskHead', with_conv_res=index > 0)
        cfg.train_cfg.rcnn = [deepcopy(cfg.train_cfg.rcnn) for _ in range(3)]
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    for name, parameter in model.named_parameters():
        if 'fc_reg' in name:  # deltas that differ between classes
            nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize('kind', ['StandardRoIHead', 'CascadeRoIHead', 'HybridTaskCascadeRoIHead'])
def test_detectors_train_and_predict_alike(kind):
    stock, ours = detector(kind, False), detector(kind, True)
    assert ours.state_dict().keys() == stock.state_dict().keys()
    assert_alike(stock, ours, C, rtol=1e-5, atol=1e-3)
