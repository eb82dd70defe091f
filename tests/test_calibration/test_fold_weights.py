"""``W' = s W``, ``b' = s b + t`` against the logits of a hook, layer by layer."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.layers.normed_predictor import NormedConv2d, NormedLinear
from torch import nn

from lt_det.calibration.choice import Choice, HeadMap
from lt_det.calibration.fold_weights import fold_weights
from lt_det.errors import BadInputError

C, D, K = 4, 6, 5


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def choice_of(
    scale, shift, *layers: str, activation: str = 'softmax', extra: int = K - C
) -> Choice:
    values = [list(map(float, each)) for each in (scale, shift)]
    head = HeadMap('head', activation, extra, list(layers), *values)
    return Choice(
        kind='detector',
        fold=True,
        reason='',
        setting={},
        classes=list('abcd'),
        heads=[head],
        image_count=[1] * C,
        instance_count=[1] * C,
        num_images=1,
        metric='AP',
        config='',
        checkpoint='',
        sha256={},
    )


class Head(nn.Module):
    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        self.head = nn.ModuleDict(layers)


def folded_layer(layer: nn.Module, scale, shift, **kwargs) -> tuple[nn.Module, float]:
    """The layer with the weights that were folded, and the factor of its temperature."""
    model = Head(cls=layer)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    folded, factors = fold_weights(model, state, choice_of(scale, shift, 'head.cls', **kwargs))
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    model.load_state_dict({**state, **folded})
    return layer, factors.get('head.cls', 1.0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('anchors', [1, 3])
@pytest.mark.parametrize('convolution', [False, True])
def test_logits_are_those_of_the_map(dtype, anchors, convolution):
    rows = anchors * K
    layer = (nn.Conv2d(D, rows, 3) if convolution else nn.Linear(D, rows)).to(dtype)
    x = torch.randn(2, D, 5, 5, dtype=dtype) if convolution else torch.randn(7, D, dtype=dtype)
    scale, shift = torch.rand(K) + 0.5, torch.randn(K)
    logits = layer(x).detach()
    expected = logits.clone()
    for row in range(rows):  # the channel of class c and anchor a is a K + c
        at = (slice(None), row)
        expected[at] = logits[at] * scale[row % K] + shift[row % K]
    layer, factor = folded_layer(layer, scale, shift)
    assert factor == 1 and layer.weight.dtype == dtype
    tolerance = dict(rtol=1e-5, atol=1e-6) if dtype == torch.float32 else dict(rtol=1e-12, atol=0)
    torch.testing.assert_close(layer(x), expected, **tolerance)


def test_half_precision_is_rounded_once():
    layer = nn.Linear(D, K).half()
    weight, bias = layer.weight.double(), layer.bias.double()
    scale, shift = torch.rand(K) + 0.5, torch.randn(K)
    layer, _ = folded_layer(layer, scale, shift)
    assert torch.equal(layer.weight, (weight * scale.double()[:, None]).half())
    assert torch.equal(layer.bias, (bias * scale.double() + shift.double()).half())


@pytest.mark.parametrize('kind', [NormedLinear, NormedConv2d])
def test_normalised_layers_take_shifts_and_one_factor(kind):
    layer = kind(D, K, *([1] if kind is NormedConv2d else []), temperature=8.0)
    nn.init.normal_(layer.bias)
    x = torch.randn(3, D, 2, 2) if kind is NormedConv2d else torch.randn(3, D)
    shift = torch.randn(K)
    expected = layer(x) * 0.5 + shift.view(-1, *[1] * (x.dim() - 2))
    weight = layer.weight.detach().clone()
    layer, factor = folded_layer(layer, [0.5] * K, shift)
    assert factor == 0.5 and torch.equal(layer.weight, weight)
    layer.temperature *= factor
    torch.testing.assert_close(layer(x), expected)
    with pytest.raises(BadInputError, match='divides the weights of each class by their norm'):
        folded_layer(layer, [0.5] * C + [1.0], shift)


def test_shared_layers_and_paths_twice():
    layer, other = nn.Linear(D, K), nn.Linear(D, K)
    model = Head(first=layer, second=layer, other=other)
    state = model.state_dict()
    choice = choice_of([2.0] * K, [1.0] * K, 'head.second', 'head.first')
    folded, _ = fold_weights(model, state, choice)
    assert set(folded) == {f'head.{n}.{p}' for n in ('first', 'second') for p in ('weight', 'bias')}
    assert folded['head.first.weight'] is folded['head.second.weight']
    torch.testing.assert_close(folded['head.first.weight'], 2 * layer.weight.detach())
    torch.testing.assert_close(folded['head.first.bias'], 2 * layer.bias.detach() + 1)
    state['head.first.weight'] = torch.zeros(K, D)
    with pytest.raises(BadInputError, match='are one weight in the model, but differ'):
        fold_weights(model, state, choice)


def test_background_of_sigmoids_goes():
    """The checkpoint has a channel for it, the stock layer does not."""
    ours, theirs = nn.Linear(D, K), nn.Linear(D, C)
    scale, shift = torch.rand(K), torch.randn(K)
    model, state = Head(cls=theirs), Head(cls=ours).state_dict()
    choice = choice_of(scale, shift, 'head.cls', activation='sigmoid')
    model.load_state_dict(fold_weights(model, state, choice)[0])
    x = torch.randn(3, D)
    torch.testing.assert_close(theirs(x), (ours(x) * scale + shift)[:, :C])


def test_without_bias():
    layer = nn.Linear(D, K, bias=False)
    expected = layer.weight.detach() * 2
    assert torch.equal(folded_layer(layer, [2.0] * K, [0.0] * K)[0].weight, expected)
    with pytest.raises(BadInputError, match='head.cls is a Linear without bias'):
        folded_layer(layer, [1.0] * K, [0.0] * C + [1.0])


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def test_refused():
    with pytest.raises(BadInputError, match='head.cls is a Doubled, expected a Linear or Conv2d'):
        folded_layer(Doubled(D, K), [1.0] * K, [0.0] * K)
    with pytest.raises(BadInputError, match='head.cls has 7 channels, expected a multiple of 5'):
        folded_layer(nn.Linear(D, 7), [1.0] * K, [0.0] * K)
    with pytest.raises(
        BadInputError, match=r'head.cls.weight has \d+ of 30 values .* no finite numbers$'
    ):
        folded_layer(nn.Linear(D, K), [1e39] * K, [0.0] * K)
    broken = nn.Linear(D, K)
    with torch.no_grad():
        broken.bias[1] = float('nan')
    with pytest.raises(BadInputError, match=r'head.cls.bias has 1 of 5 .* in the checkpoint$'):
        folded_layer(broken, [1.0] * K, [0.0] * K)
    model = Head(cls=nn.Linear(D, K))
    with pytest.raises(BadInputError, match='the checkpoint has no head.cls.bias'):
        state = {'head.cls.weight': torch.zeros(K, D)}
        fold_weights(model, state, choice_of([1.0] * K, [0.0] * K, 'head.cls'))
