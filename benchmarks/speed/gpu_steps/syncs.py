"""Where the host waits for the device in a training and in a test step."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from common.origin import ROOT

from .context import Context
from .detectors import build, make_batch, methods, num_classes

# these work on every RoI of every step, and are said not to wait
NEVER = ('lt_det/models/losses/', 'lt_det/models/layers/', 'lt_det/adjustments/')
FEW = 10  # in all of lt_det in a training step, whatever the batch


def run(context: Context) -> None:
    size = context.pick((800, 1333), (96, 128))
    batch = make_batch(2, size, 12, num_classes(context))
    found = {}
    all_methods = ('IIF', 'CAM calibration', 'Seesaw', 'EQLv2', 'Federated', 'GOL', 'FASA')
    for method in context.pick(all_methods, all_methods[:2]):
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
        ours = {place: n for place, n in places.items() if place.startswith('lt_det/')}
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
    """How often the second call of a step waits, by file and line; nothing on a CPU."""
    step()
    if not context.on_gpu:
        return Counter()
    context.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    return Counter(
        f'{_short(warning.filename)}:{warning.lineno}'
        for warning in caught
        if 'synchronizing' in str(warning.message)
    )


def _short(name: str) -> str:
    path = Path(name)
    if path.is_relative_to(ROOT):
        return path.relative_to(ROOT).as_posix()
    return '/'.join(path.parts[-3:])
