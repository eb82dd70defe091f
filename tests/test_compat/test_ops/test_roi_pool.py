"""RoIPool against a loop: output and gradient."""

from __future__ import annotations

import math

import pytest
import torch
from mmcv.ops import RoIPool, roi_pool

from .reference import boxes, compare_halves


def rois(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    images = torch.tensor([[0.0], [1.0], [1.0], [0.0]], dtype=dtype)
    regions = torch.cat([images, boxes(4, dtype)], 1)
    regions[2, 3:] = 90  # over the border of 64 pixels
    regions[3, 3] = regions[3, 1] - 5  # no width
    return regions


def naive(features, regions, size, scale) -> torch.Tensor:
    pooled = torch.zeros(len(regions), features.shape[1], *size, dtype=features.dtype)
    for r, (image, *box) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = (side * scale for side in (box[0], box[1], box[2] + 1, box[3] + 1))
        if x2 <= x1 or y2 <= y1:
            continue
        for i in range(size[0]):
            for j in range(size[1]):
                top = math.floor(i * (y2 - y1) / size[0] + y1)
                bottom = math.ceil((i + 1) * (y2 - y1) / size[0] + y1)
                left = math.floor(j * (x2 - x1) / size[1] + x1)
                right = math.ceil((j + 1) * (x2 - x1) / size[1] + x1)
                cells = features[
                    int(image), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)
                ]
                if cells.numel():
                    pooled[r, :, i, j] = cells.amax((1, 2))
    return pooled


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_output_and_gradient(dtype):
    features = torch.randn(2, 3, 16, 16, dtype=dtype, requires_grad=True)
    regions = rois(dtype)
    pooled, expected = (op(features, regions, (3, 4), 0.25) for op in (roi_pool, naive))
    assert pooled.equal(expected)
    assert not pooled[3].any()
    weight = torch.randn_like(pooled)
    gradients = [torch.autograd.grad(p, features, weight)[0] for p in (pooled, expected)]
    torch.testing.assert_close(*gradients)


def test_gradient_of_the_values():
    features = torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    regions = rois(torch.float64)
    assert torch.autograd.gradcheck(lambda f: roi_pool(f, regions, (2, 3), 0.1), features)


def test_half_precision():
    compare_halves(RoIPool(7, 0.25), torch.randn(2, 3, 16, 16), rois().round())


def test_a_region_that_is_no_number_has_no_cells():
    regions = torch.tensor([[0.0, float('nan'), 3, 30, 40]])
    assert not RoIPool(3, 0.25)(torch.randn(1, 2, 16, 16), regions).any()


def test_no_regions():
    features = torch.randn(1, 2, 8, 8, requires_grad=True)
    pooled = RoIPool(3, 0.25)(features, torch.zeros(0, 5))
    assert pooled.shape == (0, 2, 3, 3)
    pooled.sum().backward()
    assert not features.grad.any()
