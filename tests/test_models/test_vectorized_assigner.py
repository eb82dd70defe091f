"""VectorizedMaxIoUAssigner: MMDetection's results, whatever the boxes, without its loop."""

from __future__ import annotations

import pytest
import torch
from common.mock_gpu import MockGpu
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from lt_det.config_parts import with_types
from lt_det.models.task_modules import VectorizedMaxIoUAssigner

from ..mock_gpu import on_mock_gpu

RPN = dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)


def boxes(number: int, generator: torch.Generator, device: str = 'cpu') -> Tensor:
    """On a coarse grid, so that many overlap as much as others."""
    corner = torch.randint(0, 6, (number, 2), generator=generator)
    size = torch.randint(1, 5, (number, 2), generator=generator)
    return torch.cat([corner, corner + size], 1).float().to(device)


def assign(
    kind: type[MaxIoUAssigner],
    options: dict,
    objects: int,
    priors: int,
    seed: int = 0,
    ignored: int = 0,
    device: str = 'cpu',
) -> AssignResult:
    generator = torch.Generator().manual_seed(seed)
    found = InstanceData(priors=boxes(priors, generator, device))
    truth = InstanceData(
        bboxes=boxes(objects, generator, device),
        labels=torch.randint(0, 1203, (objects,), generator=generator).to(device),
    )
    rest = InstanceData(bboxes=boxes(ignored, generator, device))
    return kind(**options).assign(found, truth, rest)


def assert_equal(ours: AssignResult, stock: AssignResult) -> None:
    assert ours.num_gts == stock.num_gts
    for name in ('gt_inds', 'max_overlaps', 'labels'):
        found, expected = getattr(ours, name), getattr(stock, name)
        assert found.dtype == expected.dtype and torch.equal(found, expected), name


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    objects=st.integers(0, 12) | st.integers(60, 400),
    priors=st.integers(0, 60) | st.integers(300, 500),
    seed=st.integers(0, 10**6),
    ignored=st.integers(0, 2),
    options=st.fixed_dictionaries(
        dict(
            pos_iou_thr=st.sampled_from([0.5, 0.7]),
            neg_iou_thr=st.sampled_from([0.3, 0.5, (0.1, 0.4)]),
            min_pos_iou=st.sampled_from([0.0, 0.3]),
            gt_max_assign_all=st.booleans(),
            match_low_quality=st.booleans(),
            ignore_iof_thr=st.sampled_from([-1, 0.5]),
        )
    ),
)
def test_the_same_as_of_mmdetection(objects, priors, seed, ignored, options):
    arguments = options, objects, priors, seed, ignored
    assert_equal(assign(VectorizedMaxIoUAssigner, *arguments), assign(MaxIoUAssigner, *arguments))


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64], ids=str)
def test_other_types(dtype):
    overlaps = torch.rand(5, 40, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.arange(5)
    pairs = [kind(**RPN) for kind in (VectorizedMaxIoUAssigner, MaxIoUAssigner)]
    assert_equal(*(each.assign_wrt_overlaps(overlaps, labels) for each in pairs))


@on_mock_gpu
def test_few_operations_and_no_wait():
    numbers = []
    for objects in (2, 64, 128):
        with MockGpu() as ours:
            assign(VectorizedMaxIoUAssigner, RPN, objects, 100, device=ours.device)
        with MockGpu() as stock:
            assign(MaxIoUAssigner, RPN, objects, 100, device=stock.device)
        assert ours.waits_in('lt_det/', 'mmdet/models/') == 0
        assert stock.waits_in('mmdet/models/') > objects
        numbers.append(ours.operations)
    assert numbers[0] == numbers[1] < numbers[2] < numbers[0] + 20


def test_a_config_gets_it_at_any_depth():
    rcnn = [dict(assigner=dict(type=name, **RPN)) for name in ('MaxIoUAssigner', 'ATSSAssigner')]
    path = f'{MaxIoUAssigner.__module__}.MaxIoUAssigner'
    others = [dict(type=name) for name in ('other.MaxIoUAssigner', 'ApproxMaxIoUAssigner', None)]
    config = dict(rpn=dict(assigner=dict(type=MaxIoUAssigner, **RPN)), rcnn=rcnn, others=others)
    config['dumped'] = [dict(type=name) for name in (path, 'mmdet.MaxIoUAssigner')]
    changed = with_types(config, {MaxIoUAssigner: VectorizedMaxIoUAssigner})
    for cfg in (changed['rpn'], changed['rcnn'][0]):
        assert isinstance(TASK_UTILS.build(cfg['assigner']), VectorizedMaxIoUAssigner)
    assert changed['rcnn'][1] == rcnn[1] and changed['others'] == others
    assert changed['dumped'] == 2 * [dict(type=VectorizedMaxIoUAssigner)]
    assert rcnn[0]['assigner']['type'] == 'MaxIoUAssigner'  # the config is a copy
