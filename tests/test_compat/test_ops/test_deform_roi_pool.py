"""Deformable pooling of regions against loops, with gradients."""

from __future__ import annotations

import math

import pytest
import torch
from mmcv.ops import DeformRoIPoolPack, ModulatedDeformRoIPoolPack, deform_roi_pool, roi_align

from .reference import bilinear_of_border, boxes, compare_halves


def rois(dtype: torch.dtype = torch.float64, size: float = 20) -> torch.Tensor:
    images = torch.tensor([[0.0], [1.0], [1.0]], dtype=dtype)
    return torch.cat([images, boxes(3, dtype, size)], 1)


def naive(features, regions, offset, size, scale, ratio, gamma) -> torch.Tensor:
    pooled = torch.zeros(len(regions), features.shape[1], *size, dtype=torch.float64)
    for r, (image, *box) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = (side * scale - 0.5 for side in box)
        height, width = y2 - y1, x2 - x1
        down = ratio or math.ceil(height / size[0])
        across = ratio or math.ceil(width / size[1])
        for d, plane in enumerate(features[int(image)].tolist()):
            for i in range(size[0]):
                for j in range(size[1]):
                    y = y1 + gamma * height * offset[r, 1, i, j].item() + i * height / size[0]
                    x = x1 + gamma * width * offset[r, 0, i, j].item() + j * width / size[1]
                    values = [
                        bilinear_of_border(
                            plane,
                            y + (k + 0.5) / down * height / size[0],
                            x + (m + 0.5) / across * width / size[1],
                        )
                        for k in range(down)
                        for m in range(across)
                    ]
                    pooled[r, d, i, j] = sum(values) / len(values)
    return pooled


@pytest.mark.parametrize('ratio', [0, 2])
def test_output_and_gradient(ratio):
    features = torch.randn(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    offset = torch.randn(3, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    arguments = ((2, 3), 0.25, ratio, 0.3)
    regions = rois()
    pooled = deform_roi_pool(features, regions, offset, *arguments)
    torch.testing.assert_close(pooled, naive(features, regions, offset, *arguments))
    narrow = deform_roi_pool(features.float(), regions.float(), offset.float(), *arguments)
    torch.testing.assert_close(narrow, pooled.float(), rtol=1e-4, atol=1e-5)
    assert torch.autograd.gradcheck(
        lambda f, o: deform_roi_pool(f, regions, o, *arguments), (features, offset), fast_mode=True
    )


@pytest.mark.parametrize('ratio', [0, 2])
def test_without_offset_it_is_roi_align(ratio):
    features, regions = torch.randn(2, 3, 8, 8), rois(torch.float32)
    pooled = deform_roi_pool(features, regions, None, (3, 3), 0.25, ratio)
    torch.testing.assert_close(pooled, roi_align(features, regions, (3, 3), 0.25, ratio))


@pytest.mark.parametrize('layer', [DeformRoIPoolPack, ModulatedDeformRoIPoolPack])
def test_layers_of_mmcv(layer):
    pool = layer((3, 3), 4, deform_fc_channels=8, spatial_scale=0.25, sampling_ratio=2)
    features = torch.randn(2, 4, 8, 8, requires_grad=True)
    pool(features, rois(torch.float32)).square().sum().backward()
    gradients = [features.grad, *(weight.grad for weight in pool.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert pool.offset_fc[-1].weight.grad.any()


def test_half_precision():
    regions = rois(torch.float32).round()
    features, offset = torch.randn(2, 3, 8, 8), torch.randn(3, 2, 2, 2)
    compare_halves(
        lambda f, o: deform_roi_pool(f, regions.to(f.dtype), o, (2, 2), 0.25, 2, 0.1),
        features,
        offset,
    )


def test_a_bin_that_is_moved_to_nowhere_is_zero():
    offset = torch.zeros(3, 2, 2, 2)
    offset[1, 0, 0, 1] = float('nan')
    pooled = deform_roi_pool(torch.randn(2, 3, 8, 8), rois(torch.float32), offset, (2, 2), 0.25, 2)
    assert not pooled[1, :, 0, 1].any()
    assert pooled.isfinite().all()


def test_no_regions():
    features = torch.randn(1, 2, 8, 8, requires_grad=True)
    offset = torch.zeros(0, 2, 2, 2, requires_grad=True)
    for ratio in (0, 2):
        pooled = deform_roi_pool(features, torch.zeros(0, 5), offset, (2, 2), 0.25, ratio)
        assert pooled.shape == (0, 2, 2, 2)
        assert not torch.autograd.grad(pooled.sum(), features)[0].any()


def test_no_samples():
    features = torch.randn(1, 2, 8, 8, requires_grad=True)
    offset = torch.zeros(1, 2, 2, 2, requires_grad=True)
    pooled = deform_roi_pool(features, torch.tensor([[0.0, 8, 8, 8, 8]]), offset, (2, 2), 0.25, 0)
    pooled.sum().backward()
    assert not (pooled.any() or features.grad.any() or offset.grad.any())
