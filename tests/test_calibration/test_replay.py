"""The memory of a detector: predictions under a rule, equal to those of a run of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.structures import InstanceData
from torch import nn

from lt_det.calibration.overlay import Overlay, overlays
from lt_det.calibration.replay import Replay

from ..test_models.test_any_detector.zoo import (
    FAMILIES,
    FREQUENCY,
    C,
    adjusted,
    built,
)

SHIFT = dict(type='PriorShift', tau=0.7, stage='test')
STRONGER = dict(type='PriorShift', tau=2.0, stage='test')
KEYS = ('scores', 'labels', 'bboxes', 'masks')


@pytest.fixture(autouse=True)
def one_thread():
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def prepared(detector: nn.Module, width: int) -> dict:
    packed = demo_mm_inputs(1, [[3, 64, width]], num_classes=C)
    return detector.data_preprocessor(packed, False)


@torch.no_grad()
def predict(detector: nn.Module, data: dict) -> list[InstanceData]:
    samples = detector(data['inputs'], copy.deepcopy(data['data_samples']), mode='predict')
    return [sample.pred_instances for sample in samples]


def assert_equal(found: list[InstanceData], expected: list[InstanceData]) -> None:
    for result, other in zip(found, expected, strict=True):
        for key in KEYS:
            assert (key in result) == (key in other)
            if key in result:
                assert torch.equal(torch.as_tensor(result[key]), torch.as_tensor(other[key])), key


def set_rules(found: list[Overlay], *rules: dict) -> None:
    for overlay in found:
        overlay.rule = overlay.built(rules, FREQUENCY)


class Calls:
    """Counts how often layers with weights compute."""

    def __init__(self, detector: nn.Module) -> None:
        self.number = 0
        for module in detector.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                self._count(module)

    def _count(self, module: nn.Module) -> None:
        compute = module.forward

        def forward(*args, **kwargs):
            self.number += 1
            return compute(*args, **kwargs)

        module.forward = forward


@pytest.mark.parametrize('name', list(FAMILIES))
def test_a_replay_is_a_run_of_its_own(name):
    """Each setting gives bit for bit what the detector predicts with it, in any order, anew for
    each batch; and what ``LongTail`` with the rule predicts."""
    detector = built(name).eval()
    batches = [prepared(detector, width) for width in (96, 64)]
    found = overlays(detector)
    settings = [(), (SHIFT,), (STRONGER, SHIFT), ()]
    expected = []
    for data in batches:
        for rules in settings:
            set_rules(found, *rules)
            expected.append(predict(detector, data))
    layers = [layer for overlay in found for layer in overlay.logits.at_test]
    calls, replayed, numbers = Calls(detector), [], []
    with Replay(detector, layers) as replay:
        for data in batches:
            replay.forget()
            for rules in settings:
                set_rules(found, *rules)
                before = calls.number
                replayed.append(replay.run(lambda data=data: predict(detector, data)))
                numbers.append(calls.number - before)
    for results, others in zip(replayed, expected, strict=True):
        assert_equal(results, others)
    assert any(not torch.equal(a.scores, b.scores) for a, b in zip(expected[0], expected[2]))
    # of the second batch, when it is known what is written into: masks of other detections alone
    first, *later = numbers[len(settings) :]
    assert first > 5 and max(later) <= (0.3 * first if FAMILIES[name].masks else 0)
    assert 'forward' not in detector.backbone.__dict__  # nothing is left behind
    assert_equal(predict(detector, batches[0]), expected[3])

    wrapped = adjusted(name, SHIFT).eval()
    wrapped.load_state_dict(detector.state_dict(), strict=False)
    for result, other in zip(predict(wrapped, batches[0]), expected[1], strict=True):
        torch.testing.assert_close(result.scores, other.scores)
        assert torch.equal(result.labels, other.labels)
