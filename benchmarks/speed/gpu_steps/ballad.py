"""BALLAD with ViT-B/16: chunks of texts, bfloat16, features and the cached phase."""

from __future__ import annotations

import statistics

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from torch import nn

from .context import Context

TINY = dict(
    embed_dim=64,
    vision_cfg=dict(layers=2, width=64, patch_size=32, head_width=32),
    text_cfg=dict(layers=2, width=64, heads=2),
)


def run(context: Context) -> None:
    model = build(context, 'A')
    results = {}
    size = context.pick(250, 8)
    for number in context.pick((256, 512), (4,)):
        for chunk in (size, None):
            try:
                results[number, chunk] = phase_a(context, model, number, 'bf16', chunk)
            except torch.OutOfMemoryError as error:
                context.note(f'phase A, batch {number}, chunk {chunk}', failed=str(error)[:100])
            context.free()
        if (number, size) in results and (number, None) in results:
            chunked, whole = results[number, size], results[number, None]
            apart = abs(chunked / whole - 1)
            expected = 'the same loss to 1%'
            context.check(f'chunks of texts, batch {number}', apart < 0.01, expected, apart=apart)
    number = context.pick(256, 4)
    if (number, size) in results:
        exact = phase_a(context, model, number, 'fp32', size)
        apart = abs(results[number, size] / exact - 1)
        # four images of a dry run average out less of the rounding, which differs by processor
        limit = context.pick(0.01, 0.05)
        expected = f'the loss within {limit:.0%} of float32'
        context.check('bfloat16', apart < limit, expected, apart=apart, float32=exact)
    model.precision = 'bf16'
    model.eval()
    images = torch.randn(context.pick(512, 4), 3, *model.image_size, device=context.device)

    @torch.no_grad()
    def features() -> None:
        model.image_features(images)

    seconds = context.median_s(features, 5)
    context.note('features of images, bfloat16', images_per_s=len(images) / seconds)
    phase_b(context)


def build(context: Context, phase: str) -> nn.Module:
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    classes = context.pick(1000, 20)
    model = MODELS.build(
        dict(
            type='BALLAD',
            clip=dict(name='ViT-B-16-quickgelu', **(TINY if context.toy else {})),
            head=dict(type='TextClsHead', num_classes=classes),
            class_names='imagenet' if classes == 1000 else [f'thing {i}' for i in range(classes)],
            phase=phase,
            precision='bf16',
        )
    )
    return model.to(context.device)


def samples_of(context: Context, model: nn.Module, number: int) -> list[DataSample]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(model.head.num_classes, (number,), generator=generator)
    return [DataSample().set_gt_label(label).to(context.device) for label in labels]


def phase_a(
    context: Context, model: nn.Module, number: int, precision: str, chunk: int | None
) -> float:
    """A step of phase A: a row with time and memory; its loss."""
    model.train()
    model.precision, model.text_chunk = precision, chunk
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(number, 3, *model.image_size, generator=generator).to(context.device)
    samples = samples_of(context, model, number)
    losses = []

    def step() -> None:
        loss = model(images, samples, mode='loss')['loss']
        loss.backward()
        losses.append(loss.item())
        model.zero_grad(set_to_none=True)

    memory = context.peak_mb(step)
    seconds = context.median_s(step, 4, warm_up=1)
    context.note(
        f'phase A, {precision}, batch {number}, texts {chunk or "all"} at a time',
        images_per_s=number / seconds,
        mb=memory,
        loss=losses[0],
    )
    return statistics.mean(losses)


def phase_b(context: Context) -> None:
    """A step of phase B on cached features."""
    model = build(context, 'B').train()
    number = context.pick(512, 8)
    features = torch.randn(number, model.adapter.weight.shape[0], device=context.device)
    samples = samples_of(context, model, number)
    optimizer = torch.optim.SGD(model.adapter.parameters(), lr=0.2)

    def step() -> None:
        optimizer.zero_grad()
        model(features, samples, mode='loss')['loss'].backward()
        optimizer.step()

    seconds = context.median_s(step, 20)
    context.check(
        f'step of phase B on {number} features',
        seconds < context.pick(0.005, 60),
        'below 5 ms',
        ms=1000 * seconds,
    )
