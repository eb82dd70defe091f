"""QuickRPNHead gives the proposals of RPNHead, whatever NMS leaves of its first candidates."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import nms
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from lt_det.models import quick_rpn_head
from lt_det.models.quick_rpn_head import QuickRPNHead

from ..conftest import ROOT

HEAD = Config.fromfile(ROOT / 'configs/_base_/models/mask_rcnn_r50_fpn_lvis.py').model.rpn_head
SIZE = 320, 480


def build(kind: type) -> RPNHead:
    torch.manual_seed(0)
    head = MODELS.build(
        {**HEAD, 'type': kind, 'num_classes': 1, 'in_channels': 8, 'feat_channels': 8}
    )
    head.init_weights()
    for branch in (head.rpn_cls, head.rpn_reg):  # scores and boxes that differ
        branch.weight.data.normal_(std=0.5)
    return head.eval()


def config(**changes) -> ConfigDict:
    nms = dict(type='nms', iou_threshold=0.7)
    cfg = dict(nms_pre=2000, max_per_img=100, nms=nms, min_bbox_size=0)
    return ConfigDict(cfg | changes)


def levels(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    height, width = SIZE
    return [
        torch.randn(2, 8, height // stride, width // stride, generator=generator)
        for stride in (4, 8, 16, 32, 64)
    ]


@torch.no_grad()
def proposals(head: RPNHead, cfg: ConfigDict, seed: int = 0, rescale: bool = False) -> list:
    metas = [dict(img_shape=SIZE, scale_factor=(0.5, 0.5))] * 2
    return head.predict_by_feat(
        *head(levels(seed)), batch_img_metas=metas, cfg=copy.deepcopy(cfg), rescale=rescale
    )


def assert_same(ours: list[InstanceData], stock: list[InstanceData]) -> None:
    for found, expected in zip(ours, stock, strict=True):
        assert set(found.keys()) == set(expected.keys())
        for key, value in expected.items():
            assert torch.equal(found[key], value), key


@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize(
    'changes',
    [
        {},
        dict(max_per_img=1000),
        dict(max_per_img=1),
        dict(min_bbox_size=12),
        dict(nms=dict(type='nms', iou_threshold=0.05)),  # all have to be looked at
        dict(nms=dict(type='nms', iou_threshold=0.7, split_thr=1000)),  # level by level
        dict(nms=dict(type='soft_nms', iou_threshold=0.7, min_score=0.4)),  # the way of RPNHead
        dict(nms=dict(type='nms', iou_threshold=0.7, max_num=50)),
    ],
    ids=str,
)
def test_same_proposals(changes, rescale):
    cfg = config(**changes)
    stock, ours = build(RPNHead), build(QuickRPNHead)
    assert stock.state_dict().keys() == ours.state_dict().keys()
    for seed in range(2):
        expected = proposals(stock, cfg, seed, rescale)
        assert len(expected[0]) > 0
        assert_same(proposals(ours, cfg, seed, rescale), expected)
    assert_same(proposals(copy.deepcopy(ours), cfg, 5), proposals(stock, cfg, 5))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(1, 8),
    st.sampled_from([0.1, 0.5, 0.7]),
    st.booleans(),
    st.integers(0, 9),
)
def test_equal_scores_and_few_candidates(number, wanted, threshold, ties, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(12, (number, 2), generator=generator).float()
    boxes = torch.cat([corner, corner + 1 + torch.randint(9, (number, 2), generator=generator)], 1)
    scores = torch.rand(number, generator=generator)
    scores = (scores * 3).round() / 3 if ties else scores
    results = InstanceData(bboxes=boxes, scores=scores, level_ids=torch.arange(number) % 3)
    cfg = config(max_per_img=wanted, nms=dict(type='nms', iou_threshold=threshold))
    stock, ours = HEADS
    expected = stock._bbox_post_process(copy.deepcopy(results), cfg)
    assert_same([ours._bbox_post_process(copy.deepcopy(results), cfg)], [expected])


HEADS = build(RPNHead), build(QuickRPNHead)


def test_few_are_looked_at_and_more_where_those_are_not_enough(monkeypatch):
    looked = []

    def counted(boxes, *args):
        looked.append(len(boxes))
        return nms(boxes, *args)

    monkeypatch.setattr(quick_rpn_head, 'nms', counted)
    head = build(QuickRPNHead)
    proposals(head, config())
    assert looked == [300, 300]  # of two images
    looked.clear()
    proposals(head, config(nms=dict(type='nms', iou_threshold=0.02)))
    assert (looked[0], looked[2]) == (300, 600)
    assert looked[1] > 3000


def test_a_detector_of_mmdetection_gets_it():
    init_default_scope('mmdet')
    cfg = Config.fromfile(ROOT / 'configs/glyphs/mask_rcnn_r18_softmax_demo.py').model
    cfg.backbone.init_cfg = None
    cfg.rpn_head.type = 'mmdet.RPNHead'
    wrapped = {**cfg, 'type': 'LongTail', 'detector': cfg.type}
    assert type(MODELS.build(copy.deepcopy(wrapped)).rpn_head) is QuickRPNHead
    assert type(MODELS.build({**wrapped, 'topk_nms': False}).rpn_head) is RPNHead
    assert HEAD.type == 'QuickRPNHead'
