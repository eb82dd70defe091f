"""Training from scratch in float32, float16 and bfloat16: finite, and the losses are alike."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from .context import Context
from .detectors import build, make_batch, methods, num_classes

TYPES = {'float32': None, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


def run(context: Context) -> None:
    classes = num_classes(context)
    size = context.pick((512, 512), (64, 64))
    number = context.pick(8, 1)
    batches = [make_batch(number, size, 10, classes, seed) for seed in range(context.pick(32, 2))]
    # for each type, and twice that for the other methods together; each ends somewhat later
    share = 0.85 * context.left() / 5
    found = {}
    for name, dtype in TYPES.items():
        found[name] = train(context, 'IIF', dtype, batches, context.pick(200, 2), share)
        report(context, f'IIF in {name}', found[name])
    compared = min(len(result['losses']) for result in found.values())
    means = {
        name: statistics.mean(result['losses'][:compared][-50:]) for name, result in found.items()
    }
    for name in ('float16', 'bfloat16'):
        apart = abs(means[name] / means['float32'] - 1)
        context.check(
            f'IIF, last losses in {name}',
            apart < 0.1,
            'mean of the last 50 within 10% of float32',
            iterations=compared,
            apart=apart,
            loss=means[name],
            loss_in_float32=means['float32'],
        )
    others = ('Seesaw', 'EQLv2', 'Federated', 'GOL', 'FASA', 'CAM calibration')
    for method in others:
        seconds = 2 * share / len(others)
        result = train(context, method, torch.float16, batches, context.pick(40, 1), seconds)
        report(context, f'{method} in float16', result)


def train(
    context: Context,
    method: str,
    dtype: torch.dtype | None,
    batches: list[dict],
    iterations: int,
    seconds: float,
) -> dict:
    """Train a detector for some iterations, or as many as fit into some seconds."""
    end = time.monotonic() + seconds
    model = build(context, methods(num_classes(context))[method], from_scratch=True).train()
    wrapper = optimizer_of(context, model, dtype)
    losses, skipped, times = [], [], []
    scaler = getattr(wrapper, 'loss_scaler', None)
    for index in range(iterations):
        begin, scale = time.monotonic(), scaler.get_scale() if scaler else 0.0
        torch.manual_seed(index)
        data = model.data_preprocessor(batches[index % len(batches)], True)
        with autocast(context, wrapper, model, dtype):
            total, _ = model.parse_losses(model(**data, mode='loss'))
        wrapper.update_params(total)
        losses.append(total.item())
        if scaler and scaler.get_scale() < scale:
            skipped.append(index)
        times.append(time.monotonic() - begin)
        if time.monotonic() > end:
            break
    wrong = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    del model
    context.free()
    return dict(
        losses=losses,
        late_skips=sum(index >= 10 for index in skipped),
        skips=len(skipped),
        scale=scaler.get_scale() if scaler else None,
        wrong=wrong,
        s=statistics.median(times),
    )


def report(context: Context, stage: str, result: dict) -> None:
    losses = torch.tensor(result['losses'])
    scale = result['scale']
    late = losses[10:] if len(losses) > 10 else losses[-1:]
    held = late.isfinite().all() and not result['wrong'] and result['late_skips'] <= 5
    context.check(
        stage,
        held and (scale is None or scale >= 2**10),
        'finite; at most 5 steps skipped after the first 10; loss scale at least 1024',
        iterations=len(losses),
        first_loss=losses[0].item(),
        last_loss=losses[-10:].mean().item(),
        skipped=result['skips'],
        scale=scale,
        not_finite=', '.join(result['wrong'][:3]) or 'nothing',
        iteration_s=result['s'],
    )


def optimizer_of(context: Context, model: nn.Module, dtype: torch.dtype | None) -> OptimWrapper:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    clip = dict(max_norm=10.0)
    if dtype is None or not context.on_gpu:
        return OptimWrapper(optimizer, clip_grad=clip)
    name = str(dtype).removeprefix('torch.')
    return AmpOptimWrapper(optimizer=optimizer, clip_grad=clip, dtype=name)


@contextmanager
def autocast(context: Context, wrapper: OptimWrapper, model: nn.Module, dtype: torch.dtype | None):
    """The wrapper's context; on a CPU, for which it has no autocast, PyTorch's own."""
    enabled = dtype is not None and not context.on_gpu
    with wrapper.optim_context(model), torch.autocast('cpu', dtype, enabled=enabled):
        yield
