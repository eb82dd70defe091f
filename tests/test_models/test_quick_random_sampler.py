"""QuickRandomSampler draws from the distribution of RandomSampler, from few boxes the same ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import RandomSampler, SamplingResult
from mmengine.structures import InstanceData
from scipy.stats import chisquare

from lt_det.models.task_modules import QuickRandomSampler, quick_random_sampler

RPN = dict(num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False)
MANY = 40_000


def sampled(kind: type[RandomSampler], boxes: int, seed: int = 0) -> SamplingResult:
    """Of boxes of which one of 100 is an object, and one of 100 neither."""
    objects = torch.zeros(boxes, dtype=torch.long)
    objects[::100], objects[50::100] = 1, -1
    assigned = AssignResult(1, objects, torch.zeros(boxes), torch.zeros(boxes, dtype=torch.long))
    truth = InstanceData(bboxes=torch.rand(1, 4), labels=torch.zeros(1, dtype=torch.long))
    torch.manual_seed(seed)
    return kind(**RPN).sample(assigned, InstanceData(priors=torch.rand(boxes, 4)), truth)


@pytest.mark.parametrize('boxes', [100, 10_000])
def test_few_boxes_are_drawn_as_by_stock(boxes):
    stock, ours = (sampled(kind, boxes) for kind in (RandomSampler, QuickRandomSampler))
    assert torch.equal(stock.pos_inds, ours.pos_inds)
    assert torch.equal(stock.neg_inds, ours.neg_inds)


def test_many_boxes_are_drawn_once_each_by_the_seed_of_torch():
    stock, ours = (sampled(kind, MANY) for kind in (RandomSampler, QuickRandomSampler))
    assert torch.equal(stock.pos_inds, ours.pos_inds)  # of 400
    assert len(ours.neg_inds.unique()) == len(ours.neg_inds) == len(stock.neg_inds) == 128
    assert torch.equal(sampled(QuickRandomSampler, MANY).neg_inds, ours.neg_inds)
    assert not torch.equal(sampled(QuickRandomSampler, MANY, seed=1).neg_inds, ours.neg_inds)


def test_every_pair_is_as_probable(monkeypatch):
    monkeypatch.setattr(quick_random_sampler, '_MANY', 5)
    sampler, gallery = QuickRandomSampler(**RPN), torch.arange(10, 16)
    torch.manual_seed(0)
    pairs = np.zeros((6, 6))
    for _ in range(6000):
        first, second = sorted((sampler.random_choice(gallery, 2) - 10).tolist())
        pairs[first, second] += 1
    assert not np.tril(pairs).any()
    assert chisquare(pairs[np.triu_indices(6, 1)]).pvalue > 1e-3


def test_other_galleries_are_those_of_stock():
    sampler = QuickRandomSampler(**RPN)
    torch.manual_seed(0)
    chosen = sampler.random_choice(np.arange(MANY), 3)
    assert isinstance(chosen, np.ndarray)
    assert len(set(chosen.tolist())) == 3
