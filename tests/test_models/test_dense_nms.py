"""Top-k NMS in dense heads against the stock heads' NMS."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from lt_det.models import dense_nms
from lt_det.models.dense_nms import use_topk_nms

C = 7
PLAIN = dict(type='nms', iou_threshold=0.5)
ANCHORS = dict(type='AnchorGenerator', ratios=[1.0], scales=[4], strides=[8, 16])
POINTS = dict(type='MlvlPointGenerator', offset=0, strides=[8, 16])
GN = dict(type='GN', num_groups=2)
FOCAL = dict(type='FocalLoss', use_sigmoid=True)
HEADS = dict(
    RetinaHead=dict(anchor_generator=ANCHORS, stacked_convs=1),
    FCOSHead=dict(
        strides=[8, 16], regress_ranges=((-1, 32), (32, 1e8)), stacked_convs=1, norm_cfg=None
    ),
    ATSSHead=dict(
        anchor_generator=ANCHORS,
        stacked_convs=1,
        norm_cfg=GN,
        loss_cls=FOCAL,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    ),
    RTMDetHead=dict(
        stacked_convs=1,
        anchor_generator=POINTS,
        norm_cfg=dict(type='BN'),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        with_objectness=False,
    ),
    RTMDetInsSepBNHead=dict(
        stacked_convs=1,
        anchor_generator=POINTS,
        norm_cfg=dict(type='BN'),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        num_prototypes=2,
        dyconv_channels=2,
        num_dyconvs=2,
        mask_loss_stride=4,
    ),
)


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def test_config(**kwargs) -> ConfigDict:
    cfg = dict(nms_pre=1000, min_bbox_size=0, score_thr=0.001, nms=PLAIN, max_per_img=30)
    return ConfigDict({**cfg, 'mask_thr_binary': 0.5, **kwargs})


test_config.__test__ = False


def build(kind: str, **test) -> nn.Module:
    size = dict(in_channels=8, feat_channels=8, num_classes=C, test_cfg=test_config(**test))
    return MODELS.build(dict(type=kind, **size, **HEADS[kind])).eval()


def candidates(number: int, dtype: torch.dtype = torch.float32, factors=False) -> InstanceData:
    """Boxes around 15 objects, with whole coordinates and scores that all differ."""
    corner = torch.randint(0, 400, (15, 2))
    objects = torch.cat([corner, corner + torch.randint(20, 200, (15, 2))], 1)
    boxes = objects[torch.randint(15, (number,))] + torch.randint(0, 9, (number, 4))
    results = InstanceData(
        bboxes=boxes.to(dtype),
        scores=(torch.randperm(number) + 1.0).div(number + 1).to(dtype),
        labels=torch.randint(C, (number,)),
        place=torch.arange(number),
    )
    if factors:
        results.score_factors = (torch.arange(number) % 2 + 1.0).div(2).to(dtype)
        results.scores = results.scores.square()
    return results


def assert_same(found: InstanceData, expected: InstanceData) -> None:
    assert set(found.keys()) == set(expected.keys())
    for field in expected.keys():  # noqa: SIM118  (InstanceData iterates over rows)
        assert found[field].dtype == expected[field].dtype, field
        assert torch.equal(found[field], expected[field]), field


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """One entry for each use of top-k NMS."""
    made = []
    topk = dense_nms.topk_nms
    monkeypatch.setattr(dense_nms, 'topk_nms', lambda *args: made.append(1) or topk(*args))
    return made


# above 10,000 candidates mmcv takes the classes in turn
@pytest.mark.parametrize('number', [0, 1, 500, 12_000])
@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize(
    'test',
    [{}, dict(min_bbox_size=40), dict(max_per_img=9999), dict(nms=dict(PLAIN, split_thr=9))],
)
def test_same_detections_of_the_same_candidates(number, rescale, test, calls):
    head, cfg = build('RetinaHead'), test_config(**test)
    stock = copy.deepcopy(head)
    assert use_topk_nms(head)
    meta = dict(scale_factor=(2.0, 0.5))  # exact
    for factors in (False, True):
        results = candidates(number, factors=factors)
        found, expected = (
            each._bbox_post_process(copy.deepcopy(results), cfg, rescale, True, meta)
            for each in (head, stock)
        )
        assert_same(found, expected)
    assert bool(calls) == (number > 0)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_types_are_those_of_the_stock_head(dtype):
    head = build('RetinaHead')
    stock = copy.deepcopy(head)
    use_topk_nms(head)
    # few whole numbers and few scores: exact in bfloat16, and no ties within a class
    boxes = torch.tensor([[0, 0, 8, 8], [0, 0, 8, 7], [1, 0, 8, 8], [16, 0, 24, 8]]).repeat(C, 1)
    labels = torch.arange(C).repeat_interleave(4)
    scores = (torch.randperm(len(labels)) + 1) / 32
    results = InstanceData(bboxes=boxes.to(dtype), scores=scores.to(dtype), labels=labels)
    for wide in (False, True):
        if wide:
            results.bboxes = results.bboxes.double()
        found, expected = (
            each._bbox_post_process(copy.deepcopy(results), test_config()) for each in (head, stock)
        )
        assert_same(found, expected)
        assert len(found) == 2 * C


@pytest.mark.parametrize(
    'test',
    [
        dict(nms=dict(type='soft_nms', iou_threshold=0.5, min_score=0.05)),
        dict(nms=dict(PLAIN, class_agnostic=True)),
        dict(nms=dict(PLAIN, max_num=3)),
        dict(max_per_img=-1),
    ],
    ids=str,
)
def test_other_configs_take_the_stock_path(test, calls):
    head, cfg = build('RetinaHead'), test_config(**test)
    stock = copy.deepcopy(head)
    use_topk_nms(head)
    results = candidates(60)
    found, expected = (
        each._bbox_post_process(copy.deepcopy(results), cfg) for each in (head, stock)
    )
    assert_same(found, expected)
    without = head._bbox_post_process(copy.deepcopy(results), test_config(), with_nms=False)
    assert torch.equal(without.scores, results.scores)
    assert not calls


def features() -> tuple[Tensor, ...]:
    return tuple(torch.randn(1, 8, size, size) for size in (16, 8))


META = dict(img_shape=(128, 128), ori_shape=(64, 64), scale_factor=(2.0, 2.0))


def detections(head: nn.Module, x: tuple[Tensor, ...], rescale: bool) -> InstanceData:
    with torch.no_grad():
        return head.predict_by_feat(*head(x), batch_img_metas=[META], rescale=rescale)[0]


@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize('kind', HEADS)
def test_heads_predict_as_stock(kind, rescale, calls):
    head = build(kind)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.3)
    stock, x = copy.deepcopy(head), features()
    assert use_topk_nms(head)
    assert head.state_dict().keys() == stock.state_dict().keys()
    found, expected = (detections(each, x, rescale) for each in (head, stock))
    assert len(expected) == 30
    assert_same(found, expected)
    assert calls


def test_a_copy_has_its_own():
    for kind, name in (
        ('RetinaHead', '_bbox_post_process'),
        ('RTMDetInsSepBNHead', '_bbox_mask_post_process'),
    ):
        head = build(kind)
        use_topk_nms(head)
        for other in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
            assert getattr(other, name).head is other
        assert getattr(head, name).head is head


def test_heads_with_another_way_stay_as_they_are():
    yolox = MODELS.build(dict(type='YOLOXHead', num_classes=C, in_channels=8, feat_channels=8))
    for head in (yolox, nn.Identity()):
        before = set(vars(head))
        assert not use_topk_nms(head)
        assert set(vars(head)) == before
