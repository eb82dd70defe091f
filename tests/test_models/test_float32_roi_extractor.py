"""RoIs keep their precision, and in float32 the features are those of SingleRoIExtractor."""

from __future__ import annotations

import pytest
import torch
from common.allocations import peak_mb
from common.mock_gpu import MockGpu
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import Tensor, nn

from lt_det.errors import BadInputError
from lt_det.models.roi_heads import float32_roi_extractor

from ..mock_gpu import on_mock_gpu

SIDES = torch.tensor([40.0, 111.9, 112.1, 250.0, 260.0, 300.0, 447.0, 449.0, 900.0])
LEVELS = [0, 0, 1, 2, 2, 2, 2, 3, 3]


ROI_ALIGN = dict(type='RoIAlign', output_size=2, sampling_ratio=0)


def extractor(kind: str, layer: dict = ROI_ALIGN) -> nn.Module:
    register_all_modules(init_default_scope=True)
    return MODELS.build(
        dict(
            type=kind,
            roi_layer=layer,
            out_channels=3,
            featmap_strides=[4, 8, 16, 32],
        )
    )


def maps(size: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(0)
    return [
        torch.randn(2, 3, size // stride, size // stride, dtype=dtype, requires_grad=True)
        for stride in (4, 8, 16, 32)
    ]


def rois(first: float = 3.3) -> Tensor:
    corner = torch.full([len(SIDES), 2], first)
    return torch.cat([torch.arange(len(SIDES))[:, None] % 2, corner, corner + SIDES[:, None]], 1)


def inside_out() -> Tensor:
    boxes = rois()
    boxes[::2, [1, 3]] = boxes[::2, [3, 1]]
    return boxes


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('boxes', [rois(), rois()[:0], rois()[:1], inside_out()])
def test_the_same_as_stock_bit_for_bit(dtype, boxes):
    stock, ours = extractor('SingleRoIExtractor'), extractor('Float32RoIExtractor')
    results = []
    for layer in (stock, ours):
        features = maps(1024, dtype)
        pooled = layer(features, boxes, roi_scale_factor=1.5)
        (
            pooled * torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1))
        ).sum().backward()
        results.append([pooled, *(feature.grad for feature in features)])
    for theirs, own in zip(*results):
        assert own.dtype == dtype
        assert own.equal(theirs)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_levels_and_places_are_those_of_float32(dtype, autocast):
    layer = extractor('Float32RoIExtractor')
    # the value of a pixel is its level
    flat = [torch.full_like(level, index) for index, level in enumerate(maps(1024, dtype))]
    with torch.autocast('cpu', dtype, enabled=autocast):
        assert layer(flat, rois())[:, 0, 0, 0].tolist() == LEVELS
    # the value of a pixel is its place: 1300 pixels from the left, where bfloat16 has steps of 8
    ramp = [
        (torch.arange(1600 // stride) * (stride / 32)).expand(1, 3, 1600 // stride, -1)
        for stride in (4, 8, 16, 32)
    ]
    boxes = rois(1203.3)[:3]
    boxes[:, 0] = 0
    expected = layer(ramp, boxes)
    with torch.autocast('cpu', dtype, enabled=autocast):
        half = [level.to(dtype) for level in ramp]
        pooled = layer(half, boxes)
    assert pooled.dtype == dtype
    exact = layer([level.float() for level in half], boxes)
    torch.testing.assert_close(pooled, exact.to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(pooled.float(), expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_gradients_under_autocast(dtype):
    layer, results = extractor('Float32RoIExtractor'), []
    for enabled in (False, True):
        features = maps(1024)
        with torch.autocast('cpu', dtype, enabled=enabled):
            given = [level.to(dtype) if enabled else level for level in features]
            pooled = layer(given, rois())
        pooled.float().square().sum().backward()
        results.append([feature.grad for feature in features])
    for full, half in zip(*results):
        assert (half - full).norm() <= 1e-2 * full.norm()


@pytest.mark.parametrize(
    'layer', [ROI_ALIGN | dict(pool_mode='max'), dict(type='RoIPool', output_size=2)]
)
def test_other_layers_sample_copies_in_float32(layer):
    stock, ours = (extractor(kind, layer) for kind in ('SingleRoIExtractor', 'Float32RoIExtractor'))
    features = [level.detach().bfloat16() for level in maps(1024)]
    expected = stock([level.float() for level in features], rois())
    pooled = ours(features, rois())
    assert pooled.dtype == torch.bfloat16
    assert pooled.equal(expected.bfloat16())
    assert pooled.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('at_once', [1, 2 * 256 * 256 * 2])
def test_channels_at_a_time_change_nothing(dtype, at_once, monkeypatch):
    layer, results = extractor('Float32RoIExtractor'), []
    gradient = torch.randn(len(SIDES), 3, 2, 2).to(dtype)
    for values in (2**26, at_once):
        monkeypatch.setattr(float32_roi_extractor, '_AT_ONCE', values)
        features = maps(1024, dtype)
        pooled = layer(features, rois())
        results.append([pooled, *torch.autograd.grad(pooled, features, gradient)])
    for whole, parts in zip(*results):
        assert parts.dtype == dtype
        assert parts.equal(whole)


def test_maps_that_learn_nothing_and_levels_without_rois():
    layer, features = extractor('Float32RoIExtractor'), maps(1024)
    for level in features[:2]:
        level.requires_grad_(False)
    layer(features, rois()[3:7]).sum().backward()  # all of P4
    assert features[0].grad is features[1].grad is None
    assert features[2].grad.any()
    assert features[3].grad is not None
    assert not features[3].grad.any()


def test_more_maps_than_strides():
    layer, features = extractor('Float32RoIExtractor'), maps(1024)
    with pytest.raises(BadInputError, match='5 feature maps .* featmap_strides has 4 values'):
        layer([*features, features[-1]], rois())


def test_the_layout_of_the_maps_changes_nothing():
    layer, features = extractor('Float32RoIExtractor'), maps(1024)
    pooled = layer(features, rois())
    others = [level.detach().to(memory_format=torch.channels_last) for level in features]
    assert layer(others, rois()).equal(pooled)


@on_mock_gpu
def test_the_device_is_waited_for_once():
    layer = extractor('Float32RoIExtractor')
    gpu = MockGpu()
    features = [level.detach().to(gpu.device).requires_grad_() for level in maps(1024)]
    boxes = rois().to(gpu.device)
    with gpu:
        layer(features, boxes).sum().backward()
    assert sum(gpu.waits.values()) == 1
    assert {level.grad.device for level in features} == {gpu.device}


def test_little_is_in_float32(monkeypatch):
    layer = extractor('Float32RoIExtractor')
    learned = maps(1024, torch.bfloat16)
    held = sum(level.nbytes for level in learned) / 2**20

    def step() -> None:
        torch.autograd.grad(layer(learned, rois()).sum(), learned)

    step()
    peak = peak_mb(step)
    assert held < peak < 3.3 * held  # the gradients, and one in float32
    monkeypatch.setattr(float32_roi_extractor, '_AT_ONCE', 2 * 256 * 256)
    assert peak_mb(step) < peak - 0.8 * held  # a channel of it


def test_a_traced_graph_has_stock_operations():
    layer, features = extractor('Float32RoIExtractor'), [level.detach() for level in maps(1024)]

    def forward(*inputs: Tensor) -> Tensor:
        return layer(inputs[:-1], inputs[-1])

    graph = torch.jit.trace(forward, (*features, rois()), check_trace=False)
    other = rois(50.2).flip(0)
    torch.testing.assert_close(graph(*features, other), layer(features, other))
