"""The memory of a detector: predictions under a rule, equal to those of a run of its own."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

from lt_det.calibration.overlay import Overlay, overlays
from lt_det.calibration.replay import Replay
from lt_det.frequency import ClassFrequency
from lt_det.frequency_module import frequency_modules

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


SMALL = Path(__file__).resolve().parents[2] / 'configs/glyphs/mask_rcnn_r18_softmax_small.py'
HEAD = 'roi_head.bbox_head.'
OWN_HEADS = {
    'IIF': {HEAD + 'adjustment': dict(type='IIF', link='smooth')},
    'CAM': {
        'roi_head.type': 'CAMCalibratedRoIHead',
        'roi_head.calibration': dict(embed_channels=16),
        HEAD + 'cls_predictor_cfg': dict(type='CosineLinear', scale=20.0),
    },
    'Seesaw': {HEAD + 'loss_cls': dict(_delete_=True, type='LongTailSeesawLoss', num_classes=30)},
    'all NMS': {HEAD + 'topk_nms': False},
}


@pytest.mark.parametrize('name', list(OWN_HEADS))
def test_heads_of_this_package(name):
    """Bit for bit, with masks; nothing but masks is computed again."""
    cfg = Config.fromfile(SMALL)
    cfg.merge_from_dict({f'model.{key}': value for key, value in OWN_HEADS[name].items()})
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    detector = MODELS.build(cfg.model).eval()
    frequency = ClassFrequency(range(1, 31), num_images=60)
    for module in frequency_modules(detector):
        module.set_class_frequency(frequency)
    data = prepared(detector, 96)
    found = overlays(detector)
    (logits,) = (overlay.logits for overlay in found)
    rules = [
        found[0].built([dict(type='PriorShift', tau=tau, stage='test')] if tau else [], frequency)
        for tau in (0.0, 1.0, 3.0)
    ]
    expected = []
    for found[0].rule in rules:
        expected.append(predict(detector, data))
    assert not torch.equal(expected[0][0].scores, expected[2][0].scores)
    calls = Calls(detector.backbone)
    with Replay(detector, logits.at_test) as replay:
        for found[0].rule, results in zip(rules, expected, strict=True):
            assert_equal(replay.run(lambda: predict(detector, data)), results)
            assert calls.number == 20  # of one run
