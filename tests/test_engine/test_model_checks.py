"""What a model and its data have to agree on, apart from a run."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from mmengine.hooks import DistSamplerSeedHook
from mmpretrain.registry import DATASETS
from mmpretrain.utils import register_all_modules

from lt_det.datasets.samplers import LongTailSampler
from lt_det.engine import ModuleEpochHook
from lt_det.engine.model_checks import check_epoch_is_told, check_sampler_is_told
from lt_det.errors import BadInputError
from lt_det.models.losses import ClassBalancedLoss


@pytest.mark.parametrize('begin', [0, 2])
def test_only_a_deferred_loss_needs_the_epoch(begin):
    model = torch.nn.ModuleDict(
        dict(loss=ClassBalancedLoss(dict(type='mmpretrain.CrossEntropyLoss'), begin=begin))
    )
    check_epoch_is_told(model, [ModuleEpochHook()])
    if begin == 0:
        check_epoch_is_told(model, [])
    else:
        with pytest.raises(BadInputError, match=r'model\.loss \(ClassBalancedLoss\)'):
            check_epoch_is_told(model, [])
    # and no statistics, as without ClassFrequencyHook, are refused in the first iteration
    with pytest.raises(RuntimeError, match='no class statistics yet'):
        model['loss'](torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))


def test_a_sampler_that_nothing_tells_the_epoch_is_refused(tiny_crops):
    register_all_modules(init_default_scope=True)
    ann_file, classes = str(tiny_crops / 'train.txt'), str(tiny_crops / 'classes.txt')
    dataset = DATASETS.build(dict(type='ListFileDataset', ann_file=ann_file, classes=classes))
    hooks = [DistSamplerSeedHook()]
    for options, needs in (
        (dict(), False),
        (dict(begin=1), True),
        (dict(mode='progressive', max_epochs=3), True),
    ):
        sampler = LongTailSampler(dataset, seed=0, **options)
        check_sampler_is_told(sampler, hooks)
        refused = pytest.raises(BadInputError, match='DistSamplerSeedHook.*LongTailSampler')
        with refused if needs else nullcontext():
            check_sampler_is_told(sampler, [])
