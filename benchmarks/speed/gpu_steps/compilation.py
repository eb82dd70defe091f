"""``torch.compile`` of the backbone: no graph break, the same features, and what it saves."""

from __future__ import annotations

import time

import torch

from .context import Context
from .detectors import build


def run(context: Context) -> None:
    size = context.pick((800, 1344), (64, 96))
    number = context.pick(8, 1)
    backbone = build(context, {}).backbone
    backbone.train()
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
    stock = context.median_s(lambda: step(backbone), 10)
    ours = context.median_s(lambda: step(compiled), 10)
    context.add_row(
        dict(
            stage=f'backbone, forward and backward, batch {number}, compiled',
            stock_s=round(stock, 5),
            ours_s=round(ours, 5),
            speedup=round(stock / ours, 3),
        )
    )
