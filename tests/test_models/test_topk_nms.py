"""Top-k NMS against greedy NMS written as loops, against torchvision's, and against mmcv's."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.layers import multiclass_nms
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from speed.ballad_cost import PeakBytes
from torch import Tensor

from lt_det.models.roi_heads import topk_nms
from lt_det.models.roi_heads.topk_nms import topk_multiclass_nms

THRESHOLD = 0.05


def run(boxes: Tensor, scores: Tensor, iou: float, max_num: int) -> tuple[Tensor, Tensor, Tensor]:
    return topk_multiclass_nms(scores, lambda p, c: boxes[p, c], THRESHOLD, iou, max_num)


def brute_force(boxes: Tensor, scores: Tensor, iou: float, max_num: int) -> list[tuple[int, int]]:
    """Pairs of proposal and class that full greedy NMS of each class keeps, the best first."""
    candidates = [(p, c) for p in range(len(scores)) for c in range(scores.size(1))]
    candidates = [(p, c) for p, c in candidates if scores[p, c] > THRESHOLD]
    candidates.sort(key=lambda pair: -scores[pair].item())
    kept: list[tuple[int, int]] = []
    for p, c in candidates:
        if all(o != c or overlap(boxes[p, c], boxes[q, o]) <= iou for q, o in kept):
            kept.append((p, c))
    return kept[:max_num]


def overlap(a: Tensor, b: Tensor) -> float:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.tolist(), b.tolist()
    intersection = max(min(ax2, bx2) - max(ax1, bx1), 0) * max(min(ay2, by2) - max(ay1, by1), 0)
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection
    return intersection / union if union else 0.0


def check(found: tuple[Tensor, ...], pairs: list, boxes: Tensor, scores: Tensor) -> None:
    assert found[2].tolist() == [c for _, c in pairs]
    for box, score, (p, c) in zip(*found[:2], pairs, strict=True):
        assert torch.equal(box, boxes[p, c])
        assert torch.equal(score, scores[p, c])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.3, 0.5, 0.6, 1.0]),
    st.integers(1, 30),
    st.integers(1, 9),
    st.integers(1, 3),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_equals_brute_force_in_float64(
    proposals, classes, iou, max_num, block, group, grid, random
):
    """Values from small grids give many ties, and overlaps equal to the threshold."""

    def number(high: int) -> float:
        return random.randint(0, high) if grid else random.random() * high

    boxes = torch.empty(proposals, classes, 4, dtype=torch.float64)
    scores = torch.empty(proposals, classes, dtype=torch.float64)
    for p in range(proposals):
        for c in range(classes):
            x, y = number(4), number(4)
            boxes[p, c] = torch.tensor([x, y, x + number(5), y + number(5)])
            scores[p, c] = number(3) / 3 if random.random() < 0.9 else torch.nan
    pairs = brute_force(boxes, scores, iou, max_num)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk_nms, '_BLOCK', block)
        patch.setattr(topk_nms, '_GROUP', group)
        found = run(boxes, scores, iou, max_num)
    check(found, pairs, boxes, scores)


def random_input(proposals: int, classes: int, spread: float) -> tuple[Tensor, Tensor]:
    """Boxes around 15 objects, in float32 with coordinates up to 1300."""
    torch.manual_seed(0)
    corner = torch.rand(15, 2) * 1000
    objects = torch.cat([corner, corner + 20 + torch.rand(15, 2) * 280], 1)
    boxes = objects[torch.randint(15, (proposals,)), None] + torch.randn(proposals, classes, 4) * 5
    return boxes, torch.rand(proposals, classes).pow(spread)


@pytest.mark.parametrize('max_num', [1, 300, 5000])
@pytest.mark.parametrize('spread', [1, 20])
def test_equals_torchvision_in_each_class(max_num, spread):
    """Boxes of class 1202 are suppressed as precisely as those of class 0."""
    boxes, scores = random_input(100, 1203, spread)
    boxes = boxes.mul(8).round() / 8  # areas are exact in float32, whatever the order of operations
    pairs = []
    for c in range(1203):
        above = (scores[:, c] > THRESHOLD).nonzero().squeeze(1)
        kept = torchvision.ops.nms(boxes[above, c], scores[above, c], 0.5)
        pairs += [(p, c) for p in above[kept].tolist()]
    pairs.sort(key=lambda pair: (-scores[pair].item(), pair))
    check(run(boxes, scores, 0.5, max_num), pairs[:max_num], boxes, scores)


def test_equals_mmcv_where_its_offsets_are_exact():
    boxes, scores = random_input(300, 20, 1)
    boxes = boxes.round()  # class offsets stay integers below 2 ** 24
    scores = (scores * 50).round() / 50
    assert (scores > 0.2).sum() < 10_000  # above, mmcv's order of ties is not defined
    for max_num in (5, 100, 1000):
        dets, labels = multiclass_nms(
            boxes.flatten(1),
            torch.cat([scores, torch.zeros(300, 1)], 1),
            0.2,
            dict(type='nms', iou_threshold=0.5),
            max_num,
        )
        found = topk_multiclass_nms(scores, lambda p, c: boxes[p, c], 0.2, 0.5, max_num)
        assert torch.equal(torch.cat([found[0], found[1][:, None]], 1), dets)
        assert torch.equal(found[2], labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('max_num', [1, 300, 5000])
def test_gpu_equals_cpu(max_num):
    boxes, scores = (part.double() for part in random_input(100, 1203, 1))
    device = torch.accelerator.current_accelerator()
    found = run(boxes.to(device), scores.to(device), 0.5, max_num)
    assert all(part.device.type == device.type for part in found)
    torch.testing.assert_close([part.cpu() for part in found], [*run(boxes, scores, 0.5, max_num)])


@pytest.mark.parametrize('classes', [1, 3])
@pytest.mark.parametrize('pairs', [1, 7, 500])
def test_portions_of_pairs_change_nothing(classes, pairs, monkeypatch):
    boxes, scores = random_input(60, classes, 1)
    expected = run(boxes, scores, 0.5, 40)
    monkeypatch.setattr(topk_nms, '_PAIRS', pairs)
    monkeypatch.setattr(topk_nms, '_BLOCK', 25)
    for part, whole in zip(run(boxes, scores, 0.5, 40), expected):
        assert torch.equal(part, whole)


@pytest.mark.parametrize('overlapping', [False, True])
def test_memory_of_many_detections_of_a_class_is_bounded(overlapping):
    number = 4000
    corner = torch.arange(number).float()[:, None] * (0.001 if overlapping else 10)
    boxes = torch.cat([corner, corner * 0, corner + 9, corner * 0 + 9], 1)[:, None]
    scores = torch.linspace(1, 0.1, number)[:, None]
    with PeakBytes() as counter:
        found = run(boxes, scores, 0.5, number)
    assert len(found[0]) == (2 if overlapping else number)
    assert counter.peak < 300e6


def test_long_chains_of_suppression():
    """Each box overlaps the next: 0 removes 1, so 2 stays and removes 3, and so on."""
    x = torch.arange(400.0)
    boxes = torch.stack([x, x * 0, x + 2.5, x * 0 + 1], 1)[:, None]
    scores = torch.linspace(1, 0.1, 400)[:, None]
    assert run(boxes, scores, 0.4, 400)[0][:, 0].tolist() == x[::2].tolist()


def test_nan_scores_are_dropped_and_nothing_gives_nothing():
    boxes, scores = random_input(5, 3, 1)
    scores[2] = torch.nan
    check(run(boxes, scores, 1.0, 20), brute_force(boxes, scores, 1.0, 20), boxes, scores)
    for none in (scores * 0, scores[:0]):
        found = run(boxes, none, 0.5, 10)
        assert [tuple(part.shape) for part in found] == [(0, 4), (0,), (0,)]


HEAD = dict(num_shared_fcs=1, in_channels=4, fc_out_channels=8, num_classes=6, roi_feat_size=1)


@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize(
    'nms',
    [
        dict(type='nms', iou_threshold=0.5),
        dict(type='nms', iou_threshold=0.5, class_agnostic=True),
        dict(type='nms', iou_threshold=0.5, max_num=3),
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize('max_per_img', [10, -1])
def test_bbox_head_predicts_as_stock(nms, rescale, agnostic, max_per_img, monkeypatch):
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    kwargs = dict(HEAD, reg_class_agnostic=agnostic)
    head = MODELS.build(dict(kwargs, type='LongTailBBoxHead'))
    stock = MODELS.build(dict(kwargs, type='ConvFCBBoxHead'))
    rois = torch.rand(40, 2).mul(60).repeat(1, 2) + torch.tensor([0, 0, 30.0, 20])
    rois = torch.cat([torch.zeros(40, 1), rois], 1)
    logits, deltas = torch.randn(40, 7) * 2, torch.randn(40, 4 if agnostic else 24)
    test_cfg = ConfigDict(score_thr=0.05, nms=nms, max_per_img=max_per_img)
    meta = dict(img_shape=(70, 90), scale_factor=(1.3, 1.7))
    called = []
    monkeypatch.setattr(
        'lt_det.models.roi_heads.long_tail_bbox_head.topk_multiclass_nms',
        lambda *args: called.append(1) or topk_multiclass_nms(*args),
    )

    def predict(model, number=40):
        parts = [part[:number] for part in (rois, logits, deltas)]
        return model.predict_by_feat(
            *((part,) for part in parts), [meta], test_cfg, rescale=rescale
        )[0]

    for number in (40, 0):
        found, expected = predict(head, number), predict(stock, number)
        assert torch.equal(found.labels, expected.labels)
        assert torch.equal(found.scores, expected.scores)
        # the stock head decodes all boxes at once, ours those it keeps
        torch.testing.assert_close(found.bboxes, expected.bboxes)
    assert bool(called) == (nms == dict(type='nms', iou_threshold=0.5) and max_per_img > 0)
    head.topk_nms = False
    called.clear()
    assert torch.equal(predict(head).bboxes, predict(stock).bboxes)
    assert not called
