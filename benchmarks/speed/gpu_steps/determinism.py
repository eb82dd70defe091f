"""The same seed twice: how far losses are apart, and that deterministic mode makes them equal."""

from __future__ import annotations

import os

import torch

from .context import Context
from .detectors import build, make_batch, methods, num_classes


def run(context: Context) -> None:
    for method in ('IIF', 'CAM calibration', 'FASA'):
        runs = [losses(context, method) for _ in range(2)]
        apart = max(abs(a / b - 1) for a, b in zip(*runs))
        expected = 'losses of 3 steps within 1e-3'
        context.check(f'{method}, the same seed twice', apart < 1e-3, expected, apart=apart)
    os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'  # PyTorch asks for it in this mode
    torch.use_deterministic_algorithms(True)
    try:
        for method in ('IIF', 'CAM calibration', 'FASA'):
            stage, expected = f'{method}, deterministic mode', 'not refused, the same losses'
            try:
                runs = [losses(context, method) for _ in range(2)]
                context.check(stage, runs[0] == runs[1], expected)
            except RuntimeError as error:
                if 'deterministic' not in str(error):
                    raise
                context.check(stage, False, expected, refused=str(error)[:160])
    finally:
        torch.use_deterministic_algorithms(False)


def losses(context: Context, method: str) -> list[float]:
    size = context.pick((512, 512), (64, 64))
    model = build(context, methods(num_classes(context))[method]).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    batch = make_batch(2, size, 10, num_classes(context))
    found = []
    for step in range(context.pick(3, 2)):
        torch.manual_seed(step)
        data = model.data_preprocessor(batch, True)
        total, _ = model.parse_losses(model(**data, mode='loss'))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found.append(total.item())
    return found
