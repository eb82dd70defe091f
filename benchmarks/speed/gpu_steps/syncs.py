"""Where the host waits for the device in a training and in a test step."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import torch
from common.mock_gpu import MockGpu, place

from .context import Context
from .detectors import build, make_batch, methods, num_classes

# these work on every RoI of every step, and are said not to wait
NEVER = ('lt_det/models/losses/', 'lt_det/models/layers/', 'lt_det/adjustments/')
OF_MMCV = 'lt_det/compat/ops/'  # NMS waits in MMCV's own operation too, for each image
FEW = 10  # in all of lt_det in a training step, whatever the batch


def run(context: Context) -> None:
    if not context.on_gpu:
        context = replace(context, device=MockGpu().device)
    size = context.pick((800, 1333), (96, 128))
    batch = make_batch(2, size, 12, num_classes(context))
    found = {}
    all_methods = ('IIF', 'CAM calibration', 'Seesaw', 'EQLv2', 'Federated', 'GOL', 'FASA')
    for method in all_methods:
        model = build(context, methods(num_classes(context))[method]).train()

        def train(model=model):
            data = model.data_preprocessor(batch, True)
            model.parse_losses(model(**data, mode='loss'))[0].backward()

        found[f'training, {method}'] = waits(context, train)
        if method == 'IIF':
            model.eval()

            def test(model=model):
                data = model.data_preprocessor(batch, False)
                with torch.no_grad():
                    model(**data, mode='predict')

            found['test, IIF'] = waits(context, test)
        del model
        context.free()
    for stage, places in found.items():
        ours = {
            place: n
            for place, n in places.items()
            if place.startswith('lt_det/') and not place.startswith(OF_MMCV)
        }
        never = {place: n for place, n in ours.items() if place.startswith(NEVER)}
        few = not stage.startswith('training') or sum(ours.values()) <= FEW
        context.check(
            f'waits in two images of {stage}',
            not never and few,
            f'none in losses, layers and adjustments; at most {FEW} in training',
            all=sum(places.values()),
            of_lt_det=sum(ours.values()),
            **dict(sorted(ours.items(), key=lambda item: -item[1])[:12]),
        )


def waits(context: Context, step: Callable[[], None]) -> Counter[str]:
    """How often the second call of a step waits, by file and line outside torch."""
    step()
    if not context.on_gpu:
        with MockGpu() as gpu:
            step()
        return gpu.waits
    found: Counter[str] = Counter()

    def note(message, *_, **__) -> None:
        # not this function, which Python calls from the warnings module where the wait is
        found[place(__file__, warnings.__file__)] += 'synchronizing' in str(message)

    context.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode('warn')
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    return +found
