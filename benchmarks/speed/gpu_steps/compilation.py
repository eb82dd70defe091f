"""``torch.compile`` of the backbone: no graph break, the same features, and what it saves."""

from __future__ import annotations

import time
from functools import partial

import torch

from .context import Context
from .detectors import build, make_batch, num_classes
from .training_cost import make_step


def run(context: Context) -> None:
    size = context.pick((800, 1344), (64, 96))
    number = context.pick(16, 1)
    model = build(context, {}).train()
    backbone = model.backbone
    images = torch.randn(number, 3, *size, device=context.device)
    dtype = context.pick(torch.float16, torch.bfloat16)
    compiled = torch.compile(
        backbone, fullgraph=True, backend='inductor' if context.on_gpu else 'eager'
    )

    def forward(module):
        with torch.autocast(context.device.type, dtype):
            return module(images)

    def step(module):
        sum(level.float().square().mean() for level in forward(module)).backward()
        backbone.zero_grad(set_to_none=True)

    begin = time.monotonic()
    step(compiled)
    context.synchronize()
    seconds = time.monotonic() - begin
    with torch.no_grad():
        pairs = list(zip(forward(compiled), forward(backbone)))
    apart = max(((a - b).float().norm() / b.float().norm()).item() for a, b in pairs)
    context.check(
        'the backbone in one graph',
        apart < 1e-2,
        'features within 1e-2 of those without',
        apart=apart,
        compiled_in_s=seconds,
    )
    for name, module in (('without', backbone), ('compiled', compiled)):
        context.note(
            f'backbone, forward and backward, batch {number}, {name}',
            s=context.median_s(partial(step, module), 10),
            mb=context.peak_mb(partial(step, module)),
        )
    # of the same model: what the whole step gains
    batch = make_batch(number, size, 12, num_classes(context))
    for name, module in (('without', backbone), ('compiled', compiled)):
        model.backbone = module
        train = make_step(context, model, batch, context.pick(torch.float16, torch.float32))
        context.note(
            f'training step, batch {number}, {name}',
            s=context.median_s(train, 5),
            mb=context.peak_mb(train),
        )
