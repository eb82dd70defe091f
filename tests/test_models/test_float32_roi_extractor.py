"""RoIs keep their precision, and in float32 the features are those of SingleRoIExtractor."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import Tensor, nn

SIDES = torch.tensor([40.0, 111.9, 112.1, 250.0, 260.0, 300.0, 447.0, 449.0, 900.0])
LEVELS = [0, 0, 1, 2, 2, 2, 2, 3, 3]


def extractor(kind: str) -> nn.Module:
    register_all_modules(init_default_scope=True)
    return MODELS.build(
        dict(
            type=kind,
            roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=0),
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


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('boxes', [rois(), rois()[:0], rois()[:1]])
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
