"""Switches of the backbone: no graph break in it, the same features, and what each saves.

Compiled, with norms folded into weights, and both.
"""

from __future__ import annotations

import time
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import torch

from lt_det.engine import BackboneHook

from .context import Context
from .detectors import build, make_batch, num_classes
from .training_cost import make_step


def run(context: Context) -> None:
    size = context.pick((800, 1344), (64, 96))
    number = context.pick(16, 1)
    model = build(context, {}).train()
    backbones = {'as it is': model.backbone}
    compiled = partial(
        torch.compile, fullgraph=True, backend='inductor' if context.on_gpu else 'eager'
    )
    backbones['compiled'] = compiled(model.backbone)
    folded = deepcopy(model)
    BackboneHook(fold_norms=True).before_run(SimpleNamespace(model=folded))
    backbones['folded'] = folded.backbone
    backbones['folded and compiled'] = compiled(folded.backbone)
    images = torch.randn(number, 3, *size, device=context.device)
    dtype = context.pick(torch.float16, torch.bfloat16)

    def forward(backbone):
        with torch.autocast(context.device.type, dtype):
            return backbone(images)

    def step(backbone):
        sum(level.float().square().mean() for level in forward(backbone)).backward()
        backbone.zero_grad(set_to_none=True)

    for name, backbone in backbones.items():
        if context.left() < context.pick(25, 0):
            context.note(f'backbone {name}', left_out='no time')
            continue
        begin = time.monotonic()
        step(backbone)  # which compiles
        context.synchronize()
        seconds = time.monotonic() - begin
        with torch.no_grad():
            pairs = list(zip(forward(backbone), forward(model.backbone)))
        context.check(
            f'backbone {name}, batch {number}, forward and backward',
            max(((a - b).float().norm() / b.float().norm()).item() for a, b in pairs) < 1e-2,
            'features within 1e-2 of those as they are; compiled as one graph',
            first_s=seconds,
            s=context.median_s(partial(step, backbone), 10),
            mb=context.peak_mb(partial(step, backbone)),
        )
    # of the same model: what the whole step gains
    batch = make_batch(number, size, 12, num_classes(context))
    for name, backbone in backbones.items():
        if context.left() < context.pick(8, 0):
            context.note(f'training step, backbone {name}', left_out='no time')
            continue
        model.backbone = backbone
        train = make_step(context, model, batch, context.pick(torch.float16, torch.float32))
        context.note(
            f'training step, batch {number}, backbone {name}',
            s=context.median_s(train, 5),
            mb=context.peak_mb(train),
        )
