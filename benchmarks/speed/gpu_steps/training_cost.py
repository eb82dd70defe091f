"""Time and memory of a training step at the size of LVIS, of MMDetection and of lt_det."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from mmengine.structures import InstanceData
from speed.many_class_steps import rpn_samples
from torch import nn

from .context import Context
from .detectors import STOCK, build, make_batch, num_classes


def run(context: Context) -> None:
    torch.backends.cudnn.allow_tf32 = True  # PyTorch's default
    models = {'stock': build(context, STOCK).train(), 'ours': build(context, {}).train()}
    for number in context.pick((4, 8, 16), (1,)):
        for dtype in context.pick((torch.float16, torch.float32), (torch.float32,)):
            if context.left() < context.pick(12, 0):
                context.note(f'batch {number}, {dtype}', left_out='no time')
                continue
            row = compare(context, models, number, dtype)
            context.add_row(row | reached(row))
    if context.left() < context.pick(20, 0):
        context.note('sparing memory', left_out='no time')
    else:
        models['ours'] = sparing(context)
        largest = context.pick(16, 1), context.pick(torch.float16, torch.float32)
        row = compare(context, models, *largest)
        row['stage'] += ', sparing memory'
        context.add_row(row | reached(row))
    del models
    context.free()
    growth(context)


def sparing(context: Context) -> nn.Module:
    """With what saves memory at little time, as docs/guides/memory_and_speed.md has it."""
    at_once = context.pick(512, 2)
    changes = {'model.roi_head.mask_head.rois_at_once': at_once}
    return build(context, changes, fold_norms=True, recompute=('neck', 'rpn_head')).train()


def reached(row: dict) -> dict:
    """Whether the largest batch in half precision is as much cheaper as it should be."""
    if 'batch 16' not in row['stage'] or 'float16' not in row['stage'] or 'stock_mb' not in row:
        return {}
    less_gb = (row['stock_mb'] - row['ours_mb']) * 2**20 / 1e9
    return dict(
        expected='at least 1.15 times as fast, 12 GB less',
        less_gb=round(less_gb, 1),
        goal_reached=less_gb >= 12 and row['speedup'] >= 1.15,
    )


def growth(context: Context) -> None:
    """What a training step costs with few classes and with many."""
    size, number = context.pick(((800, 1333), 4), ((96, 128), 1))
    seconds = {}
    for classes in context.pick((100, 1000, 10_000), (10, 100)):
        if context.left() < context.pick(8, 0):
            context.note(f'{classes} classes', left_out='no time')
            break
        model = build(context, {}, classes=classes).train()
        batch = make_batch(number, size, 12, classes)
        step = make_step(context, model, batch, context.pick(torch.float16, torch.float32))
        peak = context.peak_mb(step)
        seconds[classes] = context.median_s(step, 5, 2)
        row = dict(
            s=seconds[classes], times_the_first=seconds[classes] / next(iter(seconds.values()))
        )
        context.note(f'training step, batch {number}, {classes} classes', **row, mb=peak)
        del model, step
        context.free()


def compare(
    context: Context, models: dict[str, nn.Module], number: int, dtype: torch.dtype
) -> dict:
    """A row: medians of two blocks of steps of each, which take turns."""
    size = context.pick((800, 1333), (96, 128))
    times: dict[str, list[float]] = {name: [] for name in models}
    peaks: dict[str, list[float | None]] = {name: [] for name in models}
    failures: dict[str, str] = {}
    batches = {
        name: make_batch(number, size, 12, num_classes(context), stock=name == 'stock')
        for name in models
    }
    for _ in range(2):
        for name, model in models.items():
            if name in failures:
                continue
            step = make_step(context, model, batches[name], dtype)
            try:
                peaks[name].append(context.peak_mb(step))
                times[name] += [context.clock(step) for _ in range(context.pick(3, 1))]
            except torch.OutOfMemoryError as error:
                failures[name] = str(error).split('.')[0]
            del step
            model.zero_grad(set_to_none=True)
            context.free()
    kind = str(dtype).removeprefix('torch.')
    row = dict(stage=f'training step, batch {number}, {size[0]} x {size[1]}, {kind}')
    for name in models:
        if name in failures:
            row[f'{name}_failed'] = failures[name]
            continue
        row[f'{name}_s'] = round(statistics.median(times[name]), 4)
        if peaks[name][-1] is not None:
            row[f'{name}_mb'] = round(max(peaks[name]), 1)
    if not failures:
        row['speedup'] = round(row['stock_s'] / row['ours_s'], 3)
    return row


def make_step(
    context: Context, model: nn.Module, batch: dict, dtype: torch.dtype
) -> Callable[[], None]:
    """Forward, backward and update on 512 RoIs an image, of which 128 are positive.

    The proposals are given: those of random weights hit nothing.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(context.device.type, enabled=dtype == torch.float16)
    generator = torch.Generator().manual_seed(0)
    height, width = batch['inputs'][0].shape[1:]
    proposals = []
    for sample in batch['data_samples']:
        boxes = sample.gt_instances.bboxes
        near = boxes.repeat(context.pick(50, 3), 1)
        near = near + 4 * torch.randn(near.shape, generator=generator)
        far = torch.rand(context.pick(1000, 20), 2, generator=generator)
        corner = far * torch.tensor([width - 20.0, height - 20.0])
        proposals.append(torch.cat([near, torch.cat([corner, corner + 20], 1)]).to(context.device))
    rpn_cfg = model.train_cfg.rpn_proposal

    def step() -> None:
        torch.manual_seed(0)  # the same RoIs for both
        data = model.data_preprocessor(batch, True)
        half = dtype != torch.float32
        with torch.autocast(context.device.type, dtype if half else None, enabled=half):
            features = model.extract_feat(data['inputs'])
            losses, _ = model.rpn_head.loss_and_predict(features, rpn_samples(data), rpn_cfg)
            losses = {f'rpn_{key}': value for key, value in losses.items()}
            given = [InstanceData(bboxes=boxes, scores=boxes[:, 0]) for boxes in proposals]
            losses.update(model.roi_head.loss(features, given, data['data_samples']))
            total, _ = model.parse_losses(losses)
        del features, losses  # as where the loss of a detector has returned
        scaler.scale(total).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step
