from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.roi_heads import LongTailBBoxHead

CONFIGS = Path(__file__).parents[2] / 'configs'
FREQUENCY = ClassFrequency([400, 40, 4], num_images=1000)
HEAD = dict(
    type='LongTailBBoxHead', num_shared_fcs=2, in_channels=8, fc_out_channels=16, num_classes=3
)
IIF = dict(type='IIF', link='raw')


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)


def build(**kwargs) -> LongTailBBoxHead:
    torch.manual_seed(0)
    head = MODELS.build({**HEAD, **kwargs})
    head.init_weights()
    return head


def adjusted() -> LongTailBBoxHead:
    head = build(adjustment=IIF, init_cfg=dict(type='Normal', layer='Linear', std=0.05))
    head.set_class_frequency(FREQUENCY)
    return head


def stock(head: LongTailBBoxHead) -> nn.Module:
    twin = MODELS.build({**HEAD, 'type': 'ConvFCBBoxHead'})
    twin.load_state_dict(head.state_dict(), strict=False)
    return twin


def test_without_adjustment_it_is_the_stock_head():
    head = build()
    features = torch.randn(5, 8, 7, 7)
    (logits, deltas), expected = head(features), stock(head)(features)
    assert torch.equal(logits, expected[0])
    assert torch.equal(deltas.whole(), expected[1])
    assert set(head.state_dict()) == set(stock(head).state_dict())


def test_logits_loss_and_gradients_equal_the_formula_on_the_stock_head():
    head = adjusted()
    twin = stock(head)
    features = torch.randn(6, 8, 7, 7)
    labels = torch.tensor([0, 1, 2, 3, 3, 3])
    weight = torch.tensor([1000 / 400, 1000 / 40, 1000 / 4, torch.e]).log()
    logits, _ = head(features)
    expected = twin(features)[0] * weight
    torch.testing.assert_close(logits, expected)
    ones = torch.ones(6)
    losses = head.loss(logits, None, None, labels, ones, None, None)
    loss = nn.functional.cross_entropy(expected, labels)
    torch.testing.assert_close(losses['loss_cls'], loss)
    assert losses['acc'].item() == pytest.approx(
        100 * (expected.argmax(1) == labels).float().mean().item()
    )
    losses['loss_cls'].backward()
    loss.backward()
    torch.testing.assert_close(head.fc_cls.weight.grad, twin.fc_cls.weight.grad)


def test_probabilities_at_test_are_those_of_the_adjusted_logits():
    head = adjusted().eval()
    head.reg_class_agnostic = True
    features = torch.randn(4, 8, 7, 7)
    logits, _ = head(features)
    rois = torch.tensor([[0, 0, 0, 9.0 + i, 9.0] for i in range(4)])
    result = head.predict_by_feat(
        (rois,), (logits,), (None,), [dict(img_shape=(20, 20), scale_factor=(1, 1))]
    )[0]
    torch.testing.assert_close(result.scores, logits.softmax(-1))


def test_initial_predictor_is_constant_where_iif_multiplies_in_training():
    head = build(adjustment=IIF)
    assert (head.fc_cls.weight == 0.001).all()
    assert not head.fc_cls.bias.any()
    assert head.fc_reg.weight.std() > 0
    for kwargs in (
        dict(adjustment=dict(type='IIF', stage='test')),
        dict(adjustment=dict(type='PriorShift')),
        dict(adjustment=IIF, cls_predictor_cfg=dict(type='NormedLinear')),
        dict(adjustment=IIF, init_cfg=dict(type='Normal', layer='Linear')),
    ):
        assert build(**kwargs).fc_cls.weight.std() > 0, kwargs


def test_wrong_number_of_classes_and_missing_classifier():
    with pytest.raises(BadInputError, match='num_classes=3, the data set has 1 classes'):
        build().set_class_frequency(ClassFrequency([1]))
    with pytest.raises(BadInputError, match='with_cls=False'):
        build(adjustment=IIF, with_cls=False)


def detector(cascade: bool) -> nn.Module:
    cfg = Config.fromfile(CONFIGS / 'glyphs' / 'mask_rcnn_r18_iif_demo.py').model
    cfg.roi_head.bbox_head.adjustment = IIF
    if cascade:
        roi = cfg.roi_head
        box = dict(roi.bbox_head, reg_class_agnostic=True)
        roi.type = 'CascadeRoIHead'
        roi.num_stages = 3
        roi.stage_loss_weights = [1, 0.5, 0.25]
        roi.bbox_head = [deepcopy(box) for _ in range(3)]
        cfg.type = 'CascadeRCNN'
        cfg.train_cfg.rcnn = [deepcopy(cfg.train_cfg.rcnn) for _ in range(3)]
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('cascade', [False, True])
def test_detectors_train_and_predict_with_the_adjustment_in_each_stage(cascade):
    from mmdet.testing import demo_mm_inputs

    model = detector(cascade)
    heads = [module for module in model.modules() if isinstance(module, LongTailBBoxHead)]
    assert len(heads) == (3 if cascade else 1)
    frequency = ClassFrequency(range(5, 305, 10), num_images=600)
    called = []
    for index, head in enumerate(heads):
        head.set_class_frequency(frequency)
        head.adjustment.register_forward_hook(lambda *_, i=index: called.append(i))
    packed = demo_mm_inputs(1, [[3, 128, 128]], num_classes=30, with_mask=True)
    data = model.data_preprocessor(packed, True)
    losses = model.loss(data['inputs'], data['data_samples'])
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
    total.backward()
    assert torch.isfinite(total)
    assert set(called) == set(range(len(heads)))
    assert all(head.fc_cls.weight.grad.abs().sum() > 0 for head in heads)
    model.eval()
    called.clear()
    with torch.no_grad():
        data = model.data_preprocessor(packed, False)
        (result,) = model.predict(data['inputs'], data['data_samples'])
    assert set(called) == set(range(len(heads)))
    assert result.pred_instances.masks.shape[0] == len(result.pred_instances.scores)


def test_cascade_refines_boxes_by_the_adjusted_logits():
    """Class-specific deltas of the adjusted winner are applied, not those of the raw one."""
    model = detector(cascade=True)
    head = model.roi_head.bbox_head[0]
    head.set_class_frequency(ClassFrequency([300] + [3] * 29, num_images=600))
    with torch.no_grad():
        head.fc_cls.weight.zero_()
        head.fc_cls.bias[:3] = torch.tensor([2.0, 1.0, -1.0])
    features = [torch.randn(1, 64, 2 ** (6 - i), 2 ** (6 - i)) for i in range(3)]
    out = model.roi_head._bbox_forward(0, features, torch.tensor([[0, 4.0, 4.0, 60.0, 60.0]]))
    # raw winner: class 0 (2.0); adjusted: 2 ln 2 = 1.39 against ln 200 = 5.30
    assert out['cls_score'][:, :-1].argmax(1).item() == 1
