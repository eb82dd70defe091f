"""Switches of the backbone: the same features, no graph break in it, and what each saves."""

from __future__ import annotations

import time
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import torch
from torch import nn

from lt_det.engine import BackboneHook

from .context import Context
from .detectors import build, make_batch, num_classes
from .training_cost import make_step

# in the order in which they are measured: to compile takes most of the time
SWITCHES = {
    'as it is': {},
    'folded': dict(fold_norms=True),
    'channels last': dict(channels_last=True),
    'folded, channels last': dict(fold_norms=True, channels_last=True),
    'folded, channels last, compiled': dict(fold_norms=True, channels_last=True, compile=True),
    'compiled': dict(compile=True),
}


def run(context: Context) -> None:
    size = context.pick((800, 1344), (64, 96))
    number = context.pick(16, 1)
    dtype = context.pick(torch.float16, torch.bfloat16)
    images = torch.randn(number, 3, *size, device=context.device)
    batch = make_batch(number, size, 12, num_classes(context))
    plain = build(context, {}).train()
    expected = None

    def forward(model: nn.Module) -> tuple[torch.Tensor, ...]:
        with torch.autocast(context.device.type, dtype):
            return model.backbone(images)

    def step(model: nn.Module) -> None:
        sum(level.float().square().mean() for level in forward(model)).backward()
        model.zero_grad(set_to_none=True)

    for name, switches in SWITCHES.items():
        if context.left() < context.pick(45 if switches.get('compile') else 12, 0):
            context.note(f'backbone {name}', left_out='no time')
            continue
        model = deepcopy(plain)
        if compiles := switches.get('compile'):
            backend = 'inductor' if context.on_gpu else 'eager'
            switches = {**switches, 'compile': dict(fullgraph=True, backend=backend)}
        if switches:
            BackboneHook(**switches).before_run(SimpleNamespace(model=model))
        begin = time.monotonic()
        step(model)  # which compiles
        context.synchronize()
        first_s = time.monotonic() - begin
        found = [level.detach() for level in forward(model)]
        expected = expected or found
        context.check(
            f'backbone {name}, batch {number}, forward and backward',
            max(map(apart, found, expected)) < 1e-2,
            'features within 1e-2 of those as they are' + ('; in one graph' if compiles else ''),
            first_s=first_s,
            s=context.median_s(partial(step, model), 10),
            mb=context.peak_mb(partial(step, model)),
        )
        # what the whole step gains
        train = make_step(context, model, batch, context.pick(torch.float16, torch.float32))
        context.note(
            f'training step, batch {number}, backbone {name}',
            s=context.median_s(train, 5),
            mb=context.peak_mb(train),
        )
        del model, train, found
        context.free()


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference, relative to that of what is expected."""
    return ((found - expected).float().norm() / expected.float().norm()).item()
