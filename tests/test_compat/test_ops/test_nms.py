"""NMS, soft NMS and the groups of NMS against loops."""

from __future__ import annotations

import math

import pytest
import torch
from mmcv.ops import batched_nms, nms, nms_match, soft_nms
from torchvision.ops import nms as torchvision_nms

from .reference import HALVES, boxes, overlap


def greedy(rects: torch.Tensor, scores: torch.Tensor, threshold: float, offset: int) -> list[int]:
    kept = []
    for index in scores.argsort(descending=True).tolist():
        overlaps = [overlap(rects[index].tolist(), rects[k].tolist(), offset) for k in kept]
        if all(each <= threshold for each in overlaps):
            kept.append(index)
    return kept


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('offset', [0, 1])
def test_nms_equals_the_greedy_definition(dtype, offset):
    rects, scores = boxes(60, dtype, 20), torch.rand(60, dtype=dtype)
    kept = greedy(rects, scores, 0.4, offset)
    assert 10 < len(kept) < 50
    dets, indices = nms(rects, scores, iou_threshold=0.4, offset=offset)
    assert indices.tolist() == kept
    torch.testing.assert_close(dets, torch.cat([rects, scores[:, None]], 1)[kept])
    if offset == 0:
        assert indices.equal(torchvision_nms(rects, scores, 0.4))


def test_offset_decides():
    rects = torch.tensor([[0.0, 0, 3, 3], [2, 0, 5, 3]])
    assert len(nms(rects, torch.tensor([0.9, 0.8]), 0.3)[1]) == 2  # 3 / 15
    assert len(nms(rects, torch.tensor([0.9, 0.8]), 0.3, offset=1)[1]) == 1  # 8 / 24


def lowered(rects, scores, threshold, sigma, least, method, offset):
    """Boxes and scores by the definition of arXiv 1704.04503."""
    left = [[*rect, score, i] for i, (rect, score) in enumerate(zip(rects, scores))]
    kept = []
    while left:
        best = max(left, key=lambda row: row[4])
        left = [row for row in left if row is not best]
        kept.append(best)
        for row in left:
            shared = overlap(best, row, offset)
            if method == 'gaussian':
                row[4] *= math.exp(-(shared**2) / sigma)
            elif shared >= threshold:
                row[4] *= 1 - shared if method == 'linear' else 0
        left = [row for row in left if row[4] >= least]
    return kept


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms_equals_the_definition(method, offset):
    rects, scores = boxes(50, torch.float64, 20), torch.rand(50, dtype=torch.float64)
    expected = lowered(rects.tolist(), scores.tolist(), 0.3, 0.5, 0.05, method, offset)
    assert 5 < len(expected) < 50
    dets, indices = soft_nms(rects, scores, 0.3, 0.5, 0.05, method, offset)
    assert indices.tolist() == [row[5] for row in expected]
    torch.testing.assert_close(dets, torch.tensor([row[:5] for row in expected]).double())
    narrow = soft_nms(rects.float(), scores.float(), 0.3, 0.5, 0.05, method, offset)
    assert narrow[1].equal(indices)
    torch.testing.assert_close(narrow[0], dets.float())


def test_soft_nms_keeps_the_order_of_the_compiled_op_among_equals():
    """Dropped boxes are replaced from the end, and equal scores come in the order of places."""
    rects = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]])
    dets, indices = soft_nms(rects, torch.tensor([0.9, 0.5, 0.5, 0.5]), 0.3, method='naive')
    # box 1 drops, box 3 takes its place before box 2
    assert indices.tolist() == [0, 3, 2]
    # the example in mmcv's documentation: boxes of no area overlap nothing
    flat = torch.tensor([[4.0, 3, 5, 3], [4, 3, 5, 4], *[[3, 1, 3, 1]] * 4])
    scores = torch.tensor([0.9, 0.9, 0.5, 0.5, 0.4, 0.0])
    for method in ('linear', 'gaussian'):
        dets, indices = soft_nms(flat, scores, 0.6, 0.5, method=method)
        assert len(dets) == len(indices) == 5
        assert dets.isfinite().all()


def test_groups_of_nms():
    rects, scores = boxes(40, size=20), torch.rand(40)
    groups = nms_match(torch.cat([rects, scores[:, None]], 1), 0.4)
    assert [int(group[0]) for group in groups] == greedy(rects, scores, 0.4, 0)
    assert sorted(torch.cat(groups).tolist()) == list(range(40))
    kept = []
    for group in groups:
        first, *others = group.tolist()
        assert scores[group].tolist() == sorted(scores[group].tolist(), reverse=True)
        for other in others:
            assert overlap(rects[first].tolist(), rects[other].tolist()) >= 0.4
            assert all(overlap(rects[k].tolist(), rects[other].tolist()) < 0.4 for k in kept)
        kept.append(first)


def test_soft_nms_per_class():
    """As MMDetection calls it: boxes of another class are moved far away."""
    rects, scores = boxes(30, size=20), torch.rand(30)
    labels = torch.arange(30) % 3
    dets, kept = batched_nms(rects, scores, labels, dict(type='soft_nms', iou_threshold=0.3))
    assert len(kept) > 10
    torch.testing.assert_close(dets[:, :4], rects[kept])
    for label in range(3):
        mine = labels == label
        alone = soft_nms(rects[mine], scores[mine], 0.3)[0][:, 4]
        torch.testing.assert_close(dets[labels[kept] == label, 4], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', HALVES)
def test_half_precision(dtype):
    rects, scores = boxes(20).round(), torch.arange(20) / 32
    half = rects.to(dtype), scores.to(dtype)
    assert nms(rects, scores, 0.4)[1].equal(nms(*half, 0.4)[1])
    assert nms(rects, scores, 0.4, 1)[1].equal(nms(*half, 0.4, 1)[1])
    assert soft_nms(rects, scores, 0.4)[1].equal(soft_nms(*half, 0.4)[1])
    groups = [nms_match(torch.cat([r, s[:, None]], 1), 0.4) for r, s in ((rects, scores), half)]
    assert all(a.equal(b) for a, b in zip(*groups, strict=True))


def test_no_boxes():
    rects, scores = torch.zeros(0, 4), torch.zeros(0)
    for op in (nms, soft_nms):
        dets, kept = op(rects, scores, 0.5)
        assert dets.shape == (0, 5)
        assert kept.shape == (0,)
    assert nms(rects, scores, 0.5, 1)[1].shape == (0,)
    assert nms_match(torch.zeros(0, 5), 0.5) == []
