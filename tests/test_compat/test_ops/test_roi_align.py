"""RoIAlign against loops: average and maximum, output and gradient."""

from __future__ import annotations

import math

import pytest
import torch
from mmcv.ops import RoIAlign, roi_align
from torchvision.ops import roi_align as torchvision_roi_align

from lt_det.compat.ops import roi_align as stand_in

from .reference import bilinear_of_border, boxes, compare_halves

NAN, INF = float('nan'), float('inf')


def rois(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Three regions, one of which leads over the border of a map of 16 cells of 4 pixels."""
    images = torch.tensor([[0.0], [1.0], [1.0]], dtype=dtype)
    regions = torch.cat([images, boxes(3, dtype)], 1)
    regions[2, 3:] = 75
    return regions


def naive(features, regions, size, scale, ratio, mode, aligned) -> torch.Tensor:
    pooled = torch.zeros(len(regions), features.shape[1], *size, dtype=torch.float64)
    shift = 0.5 if aligned else 0
    for r, (image, *box) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = (side * scale - shift for side in box)
        height, width = y2 - y1, x2 - x1
        if not aligned:
            height, width = max(height, 1), max(width, 1)
        down = ratio or math.ceil(height / size[0])
        across = ratio or math.ceil(width / size[1])
        for d, plane in enumerate(features[int(image)].tolist()):
            for i in range(size[0]):
                for j in range(size[1]):
                    values = [
                        bilinear_of_border(
                            plane,
                            y1 + (i + (k + 0.5) / down) * height / size[0],
                            x1 + (j + (m + 0.5) / across) * width / size[1],
                        )
                        for k in range(down)
                        for m in range(across)
                    ]
                    if values:
                        pooled[r, d, i, j] = (
                            max(values) if mode == 'max' else sum(values) / len(values)
                        )
    return pooled


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_output_and_gradient(mode, ratio, aligned):
    features = torch.randn(2, 2, 16, 16, dtype=torch.float64, requires_grad=True)
    regions = rois(torch.float64)
    pooled = roi_align(features, regions, (3, 4), 0.25, ratio, mode, aligned)
    torch.testing.assert_close(pooled, naive(features, regions, (3, 4), 0.25, ratio, mode, aligned))
    narrow = roi_align(features.float(), regions.float(), (3, 4), 0.25, ratio, mode, aligned)
    torch.testing.assert_close(narrow, pooled.float(), rtol=1e-4, atol=1e-5)
    small = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda f: roi_align(f, regions, (2, 3), 0.1, ratio, mode, aligned), small
    )


def test_average_is_that_of_torchvision():
    features, regions = torch.randn(2, 3, 16, 16), rois()
    expected = torchvision_roi_align(features, regions, 7, 0.25, 2, aligned=True)
    assert RoIAlign(7, 0.25, 2)(features, regions).equal(expected)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_half_precision(mode):
    features, regions = torch.randn(2, 3, 16, 16), rois().round()  # what both half types have
    layer = RoIAlign(7, 0.25, 2, mode)
    if mode == 'avg':
        compare_halves(layer, features, regions)
    compare_halves(lambda f: layer(f, regions), features)  # the regions stay in float32
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast('cpu', dtype):
            assert layer(features.to(dtype), regions).dtype == dtype


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
def test_no_regions_and_one_of_no_size(mode, ratio):
    features = torch.randn(1, 2, 8, 8, requires_grad=True)
    pooled = RoIAlign(3, 0.25, ratio, mode)(features, torch.zeros(0, 5))
    assert pooled.shape == (0, 2, 3, 3)
    pooled.sum().backward()
    assert not features.grad.any()
    point = RoIAlign(3, 0.25, ratio, mode)(features, torch.tensor([[0.0, 8, 8, 8, 8]]))
    assert point.isfinite().all()
    assert bool(point.any()) == (ratio > 0)  # a bin of no size has no samples of its own


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize(
    'lost',
    [
        [0, 3, NAN, 30, 40],
        [0, 3, INF, 30, 40],
        [0, -INF, -INF, INF, INF],
        [NAN] * 5,
        [-INF, 3, 3, 30, 40],
    ],
)
def test_a_region_that_is_no_number_is_zero(mode, ratio, lost):
    features = torch.randn(2, 2, 16, 16, requires_grad=True)
    regions = rois()
    alone = RoIAlign(3, 0.25, ratio, mode)(features, regions[1:].clone())
    regions[0] = torch.tensor(lost)
    pooled = RoIAlign(3, 0.25, ratio, mode)(features, regions)
    assert not pooled[0].any()
    assert pooled[1:].equal(alone)
    gradients = [torch.autograd.grad(p.sum(), features)[0] for p in (pooled, alone)]
    assert gradients[0].equal(gradients[1])


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_a_region_inside_out_is_zero(mode):
    features = torch.randn(1, 2, 16, 16, requires_grad=True)
    regions = torch.tensor([[0.0, 60, 60, 5, 10], [0, 10, 10, 50, 50]])
    pooled = roi_align(features, regions, (3, 3), 0.25, 0, mode, True)
    assert not pooled[0].any()
    assert pooled[1].any()
    pooled.sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('at_once', [1, 2**24])
def test_gradient_in_a_fixed_order_is_that_of_torchvision(ratio, aligned, at_once, monkeypatch):
    monkeypatch.setattr(stand_in, '_AT_ONCE', at_once)
    regions = torch.cat(
        [
            rois(torch.float64),
            torch.tensor([[1.0, 60, 60, 5, 10], [0, 5, 5, 5, 5], [0, -900, -900, -800, -900]]),
            torch.tensor([[0.0, 0, 0, 64, 64], [1, -20, 30, 90, 60]]),
        ]
    ).double()
    features = torch.randn(2, 3, 16, 12, dtype=torch.float64, requires_grad=True)
    pooled = roi_align(features, regions, (3, 4), 0.25, ratio, 'avg', aligned)
    gradient = torch.randn_like(pooled)
    (expected,) = torch.autograd.grad(pooled, features, gradient)
    starts, extents = stand_in._regions(regions, 0.25, aligned)
    found = stand_in.summed_in_order(
        gradient, regions[:, 0].long(), starts, extents, features.shape, ratio
    )
    torch.testing.assert_close(found, expected)
    assert expected.any()
