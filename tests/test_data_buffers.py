"""Buffers that come from the training data are never in half precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lt_det.adjustments import build_adjustment
from lt_det.frequency import ClassFrequency
from lt_det.models.layers import FASA, CAMCalibration
from lt_det.models.losses import (
    EqualizedFocalLoss,
    FederatedLoss,
    LongTailEQLV2Loss,
    LongTailSeesawLoss,
)

COUNTS = np.geomspace(90_001, 1, 12).astype(int)  # the first is beyond float16
FREQUENCY = ClassFrequency(COUNTS, num_images=123_457)


def modules() -> dict[str, torch.nn.Module]:
    made = {
        'iif': build_adjustment(dict(type='IIF'), FREQUENCY),
        'prior shift': build_adjustment(dict(type='PriorShift'), FREQUENCY),
        'fracal': build_adjustment(dict(type='FRACAL'), FREQUENCY),
        'fasa': FASA(12, 5),
        'cam': CAMCalibration(12, 4, 6),
        'seesaw': LongTailSeesawLoss(num_classes=12),
        'eqlv2': LongTailEQLV2Loss(num_classes=12),
        'efl': EqualizedFocalLoss(num_classes=12),
        'federated': FederatedLoss(num_classes=12),
    }
    for name in ('fasa', 'federated'):
        made[name].set_class_frequency(FREQUENCY)
    return made


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', modules())
def test_a_half_model_keeps_them_as_they_are(name, dtype):
    module = modules()[name]
    before = {key: value.clone() for key, value in module.named_buffers()}
    whole = torch.nn.Sequential(torch.nn.Linear(2, 2), module).to(dtype)
    assert whole[0].weight.dtype == dtype
    after = dict(module.named_buffers())
    assert any(value.is_floating_point() for value in after.values())
    for key, value in before.items():
        assert after[key].dtype == value.dtype
        assert torch.equal(after[key], value)
    wide = module.double()
    assert {b.dtype for b in wide.buffers() if b.is_floating_point()} == {torch.float64}
    assert {b.device.type for b in module.to('meta').buffers()} == {'meta'}


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_rules_of_a_half_model_give_what_they_give_of_a_whole_one(dtype):
    torch.manual_seed(0)
    logits = torch.randn(7, 13).to(dtype)
    for cfg in (dict(type='IIF'), dict(type='PriorShift'), dict(type='NorCal', gamma=0.6)):
        rule = build_adjustment(cfg, FREQUENCY)
        rule.train(rule.stage == 'train')
        expected = rule(logits.float())
        found = rule.to(dtype)(logits)
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_statistics_of_a_half_model_sum_up(dtype):
    torch.manual_seed(0)
    fasa, seesaw = FASA(12, 5).to(dtype), LongTailSeesawLoss(num_classes=12).to(dtype)
    fasa.set_class_frequency(FREQUENCY)
    assert fasa.sample()[1].shape == (4,)  # 1e-12 is 0 in half: nothing to draw from
    labels = torch.zeros(300, dtype=torch.int64)
    for _ in range(300):
        seesaw(torch.randn(300, 14).to(dtype), labels)
    assert seesaw.cum_samples[0] == 90_000
    fasa.update(torch.full((300, 5), 3.0).to(dtype), labels, torch.ones(300))
    assert fasa.mean[0].tolist() == [3] * 5
