"""Cosine classifiers and mask predictors against the formula, written with loops."""

from __future__ import annotations

import copy
from inspect import signature

import pytest
import torch
from mmdet.models.layers import normed_predictor
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import Tensor, nn

from lt_det.errors import BadInputError
from lt_det.models.layers import CosineLinear, NormedConv2d, NormedLinear
from lt_det.models.layers.normed_predictors import _Temperature


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def naive(x: Tensor, weight: Tensor, scale: float, features: bool) -> Tensor:
    rows = []
    for feature in x:
        row = []
        for w in weight:
            logit = scale * sum(a * b for a, b in zip(feature, w)) / sum(b * b for b in w) ** 0.5
            if features:
                logit = logit / sum(a * a for a in feature) ** 0.5
            row.append(logit)
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('features', [True, False])
@pytest.mark.parametrize('learnable', [False, True])
def test_cosine_logits_and_gradients(dtype, features, learnable):
    layer = CosineLinear(5, 4, 8.0, learnable, features).to(dtype)
    x = torch.randn(3, 5, dtype=dtype, requires_grad=True)
    expected = naive(x, layer.weight, 8.0, features)
    logits = layer(x)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    target = torch.randn_like(expected)
    ours = torch.autograd.grad((logits * target).sum(), [x, layer.weight], retain_graph=True)
    theirs = torch.autograd.grad((expected * target).sum(), [x, layer.weight], retain_graph=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=5e-5)
    if learnable:  # logits = s^2 cos, so dL/ds = 2 s sum(dL/dz cos)
        (slope,) = torch.autograd.grad((logits * target).sum(), layer.root_scale)
        cosines = expected / 8
        torch.testing.assert_close(slope, 2 * layer.root_scale * (target * cosines).sum())


def test_learned_scale_starts_as_given_and_learns():
    layer = CosineLinear(5, 4, scale=25, learn_scale=True)
    assert layer.root_scale.item() == pytest.approx(5)
    assert layer.scale.item() == pytest.approx(25)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    nn.functional.cross_entropy(layer(torch.randn(6, 5)), torch.arange(6) % 4).backward()
    optimizer.step()
    assert layer.scale.item() != pytest.approx(25)
    assert 'root_scale' not in CosineLinear(5, 4).state_dict()


def test_feature_of_zeros_is_finite_with_its_gradient():
    layer = CosineLinear(5, 4)
    x = torch.zeros(2, 5, requires_grad=True)
    layer(x).sum().backward()
    assert not layer(x).any()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('layer', ['CosineLinear', 'CosineLinear learned', 'NormedLinear'])
def test_autocast_does_not_round_the_logits(layer, dtype):
    layer = {
        'CosineLinear': lambda: CosineLinear(32, 9, scale=30.0),
        'CosineLinear learned': lambda: CosineLinear(32, 9, scale=30.0, learn_scale=True),
        'NormedLinear': lambda: NormedLinear(32, 9, temperature=30.0),
    }[layer]()
    x = torch.randn(6, 32).to(dtype)
    x[:, 0] += 9  # of half precision the features are, and nothing else
    with torch.no_grad():
        layer.weight[:, 0] += 1  # logits of about 20, where bfloat16 has steps of 1/8
    with torch.autocast('cpu', dtype):
        found = layer(x)
    expected = copy.deepcopy(layer).double()(x.double())
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)
    direction = torch.randn_like(found)
    (gradient,) = torch.autograd.grad((found * direction).sum(), layer.weight)
    wide = naive_layer_gradient(layer, x, direction)
    torch.testing.assert_close(gradient, wide, rtol=1e-4, atol=1e-4)


def naive_layer_gradient(layer: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
    wide = copy.deepcopy(layer).double()
    (wide(x.double()) * direction).sum().backward()
    return wide.weight.grad.float()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('learnable', [False, True])
def test_feature_of_zeros_in_half_precision(learnable, dtype):
    layer = CosineLinear(16, 5, learn_scale=learnable).to(dtype)
    x = torch.zeros(2, 16, dtype=dtype, requires_grad=True)
    logits = layer(x)
    nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    assert not logits.any()
    for tensor in (x, *layer.parameters()):
        assert torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize('head', ['LongTailBBoxHead', 'Shared2FCBBoxHead'])
def test_box_heads_take_it_as_predictor(head):
    cfg = dict(in_channels=4, fc_out_channels=6, num_classes=3)
    if head == 'LongTailBBoxHead':
        cfg['num_shared_fcs'] = 2
    predictor = dict(type='CosineLinear', scale=8.0)
    built = MODELS.build(dict(type=head, cls_predictor_cfg=predictor, **cfg))
    built.init_weights()
    assert isinstance(built.fc_cls, CosineLinear)
    assert built.fc_cls.weight.std() > 0
    logits, _ = built(torch.randn(2, 4, 7, 7))
    assert logits.shape == (2, 4)
    assert logits.abs().max() <= 8


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('learnable', [False, True])
def test_normed_predictors_are_those_of_mmdetection(dtype, learnable):
    for ours, theirs, args, x in (
        (NormedLinear, normed_predictor.NormedLinear, (5, 4), torch.randn(3, 5)),
        (NormedConv2d, normed_predictor.NormedConv2d, (5, 4, 1), torch.randn(2, 5, 3, 3)),
    ):
        name = next(key for key in signature(theirs).parameters if key.startswith('temp'))
        stock = theirs(*args, **{name: 7.0}).to(dtype)
        layer = ours(*args, tempearture=7.0, learn_temperature=learnable).to(dtype)
        assert isinstance(layer, theirs)
        missing, unexpected = layer.load_state_dict(stock.state_dict(), strict=False)
        assert missing == (['root_temperature'] if learnable else [])
        assert not unexpected
        x = x.to(dtype)
        torch.testing.assert_close(layer(x), stock(x))
        if learnable:
            layer(x).square().sum().backward()
            assert layer.root_temperature.grad.abs() > 0


class NormedLinearOf33(nn.Linear):
    """Names and order of MMDetection 3.3's layer."""

    def __init__(self, *args, tempearture: float = 20, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.tempearture = tempearture

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x * self.tempearture, self.weight, self.bias)


@pytest.mark.parametrize('learnable', [False, True])
@pytest.mark.parametrize('key', ['temperature', 'tempearture'])
def test_temperature_reaches_the_layer_of_older_mmdetection(key, learnable):
    class Layer(_Temperature, NormedLinearOf33):
        pass

    layer = Layer(5, 4, **{key: 7.0, 'learn_temperature': learnable})
    x = torch.randn(3, 5)
    torch.testing.assert_close(layer(x), x @ layer.weight.T * 7 + layer.bias)


@pytest.mark.parametrize('key', ['temperature', 'tempearture'])
def test_mask_head_of_mmdetection_takes_either_spelling(key):
    predictor = {'type': 'NormedConv2d', key: 11.0, 'learn_temperature': True}
    head = MODELS.build(
        dict(
            type='FCNMaskHead',
            num_convs=1,
            in_channels=4,
            conv_out_channels=4,
            num_classes=3,
            predictor_cfg=predictor,
        )
    )
    head.init_weights()
    assert head.conv_logits.temperature.item() == pytest.approx(11)
    assert head(torch.randn(2, 4, 14, 14)).shape == (2, 3, 28, 28)


def test_bad_arguments():
    def build(**kwargs):
        return MODELS.build(dict(type='NormedLinear', in_features=5, out_features=4, **kwargs))

    assert build(tempearture=8).state_dict().keys() >= {'weight'}
    for value in (0, -1.0, float('nan')):
        with pytest.raises(BadInputError, match=r'\.tempearture is .*, expected .* > 0'):
            build(tempearture=value)
    with pytest.raises(BadInputError, match=r'temperature=3 and tempearture=4.*give one'):
        build(temperature=3, tempearture=4)
    for key in ('power', 'eps'):
        with pytest.raises(BadInputError, match=rf'NormedLinear\.{key} is nan, expected a number'):
            build(**{key: float('nan')})


def test_scale_of_cosine_linear_is_checked():
    with pytest.raises(BadInputError, match=r'CosineLinear\.scale is 0, expected a number > 0'):
        CosineLinear(5, 4, scale=0)
