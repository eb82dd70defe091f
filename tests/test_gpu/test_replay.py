"""The memory of a detector on a GPU: nothing is computed twice, and predictions are the same."""

from __future__ import annotations

import pytest
import torch

from lt_det.calibration.overlay import overlays
from lt_det.calibration.replay import Replay

from ..test_calibration.test_replay import SHIFT, Calls, predict, prepared, set_rules
from ..test_models.test_any_detector.zoo import built

NORMS = dict(type='TauNorm', tau=0.5)


@pytest.mark.parametrize('name', ['Faster R-CNN', 'RetinaNet', 'DINO'])
def test_replay(name, device):
    detector = built(name).to(device).eval()
    batches = [prepared(detector, width) for width in (96, 64)]
    found = overlays(detector)
    layers = [layer for overlay in found for layer in overlay.logits.at_test]
    set_rules(found, NORMS, SHIFT)
    expected = [predict(detector, data) for data in batches]
    calls = Calls(detector)
    with Replay(detector, layers) as replay:
        for data, results in zip(batches, expected, strict=True):
            replay.forget()
            set_rules(found)
            replay.run(lambda data=data: predict(detector, data))
            set_rules(found, NORMS, SHIFT)
            before = calls.number
            again = replay.run(lambda data=data: predict(detector, data))
            for result, other in zip(again, results, strict=True):
                assert result.scores.device == device
                torch.testing.assert_close(result.scores, other.scores)
    assert calls.number == before  # of the second batch, when it is known what is written into
