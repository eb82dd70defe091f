"""Overlaps of boxes against a loop."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops import bbox_overlaps

from .reference import HALVES, boxes, overlap


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('offset', [0, 1])
def test_every_pair(dtype, offset):
    first, second = boxes(7, dtype), boxes(5, dtype)
    shared = torch.tensor(
        [[overlap(a, b, offset) for b in second.tolist()] for a in first.tolist()]
    )
    tolerance = dict(rtol=1e-5, atol=1e-6) if dtype == torch.float32 else dict(rtol=1e-6, atol=1e-7)
    ious = bbox_overlaps(first, second, offset=offset)
    torch.testing.assert_close(ious, shared.to(dtype), **tolerance)
    pairs = bbox_overlaps(first[:5], second, aligned=True, offset=offset)
    torch.testing.assert_close(pairs, ious.diagonal())
    # intersection over the first box, from the intersection over the union
    areas = [(b[:, 2:] - b[:, :2] + offset).prod(1) for b in (first, second)]
    intersection = ious * (areas[0][:, None] + areas[1]) / (1 + ious)
    foreground = bbox_overlaps(first, second, mode='iof', offset=offset)
    torch.testing.assert_close(foreground, intersection / areas[0][:, None])


@pytest.mark.parametrize('dtype', HALVES)
def test_half_precision(dtype):
    first, second = boxes(7).round().to(dtype), boxes(5).round().to(dtype)
    ious = bbox_overlaps(first, second)
    assert ious.dtype == dtype
    torch.testing.assert_close(ious, bbox_overlaps(first.float(), second.float()).to(dtype))


def test_no_boxes():
    assert bbox_overlaps(torch.zeros(0, 4), boxes(3)).shape == (0, 3)
