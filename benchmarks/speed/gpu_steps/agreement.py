"""The long-tail parts on the CPU and on the GPU: values, gradients and buffers are the same.

A case is a function of sizes and a device. It draws everything on the CPU, in the same order for
both devices, and returns tensors by name; how much they may differ follows from the first word of
the name (``TOLERANCE``).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from common.mock_gpu import MockGpu
from torch import Tensor

from .context import Context


class Sizes(NamedTuple):
    rois: int = 512
    classes: int = 1203
    channels: int = 256


FULL, TOY = Sizes(), Sizes(32, 30, 16)
Case = Callable[[Sizes, torch.device], dict[str, Tensor]]
CASES: dict[str, Case] = {}

# by the first word of a name: largest norm of the difference, relative to that of the value
TOLERANCE = {'loss': 1e-5, 'buffer': 1e-4, 'gradient': 1e-4, 'value': 1e-4, 'detector': 3e-2}
# a gradient through ReLUs: of a unit in a million, rounding changes the sign, which moves the norm
# by the root of that (float32 against float64 of a mask head on a CPU: 9e-4)
TOLERANCE['rectified'] = 5e-3
TOLERANCE['deep'] = 2e-2  # through 20 such layers: 3e-3 between two libraries of one CPU
PIXELS = 1e-5  # share of the pixels that may differ


def case(name: str) -> Callable[[Case], Case]:
    """Decorator: add a case by its name."""

    def add(function: Case) -> Case:
        CASES[name] = function
        return function

    return add


def difference(name: str, ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """How far two results are apart, and how far they may be."""
    kind = name.split()[0]
    ours, theirs = ours.detach().cpu(), theirs.detach().cpu()
    if ours.shape != theirs.shape:
        return float('inf'), 0.0
    if kind == 'pixels':
        return (ours != theirs).double().mean().item(), PIXELS
    if kind not in TOLERANCE:
        return float(not torch.equal(ours, theirs)), 0.0
    ours, theirs = ours.double(), theirs.double()
    if not (ours.isfinite() == theirs.isfinite()).all():
        return float('inf'), 0.0
    finite = theirs.isfinite()
    apart = (ours - theirs)[finite].norm() / theirs[finite].norm().clamp(min=1e-12)
    return apart.item(), TOLERANCE[kind]


def compare(name: str, sizes: Sizes, device: torch.device) -> dict[str, tuple[float, float]]:
    """Differences of a case between the CPU and a device, see :func:`difference`."""
    results = []
    for place in (torch.device('cpu'), device):
        torch.manual_seed(0)
        results.append(CASES[name](sizes, place))
    on_cpu, there = results
    for key, value in there.items():
        if value.device.type != device.type:
            raise RuntimeError(f'{name}: {key} is on {value.device}')
    return {key: difference(key, there[key], on_cpu[key]) for key in on_cpu}


def run(context: Context) -> None:
    # they add the cases
    from . import agreement_detection, agreement_losses, agreement_models  # noqa: F401

    if not context.on_gpu:
        context = replace(context, device=MockGpu().device)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        for name in CASES:
            _check(context, name)
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _check(context: Context, name: str) -> None:
    try:
        differences = compare(name, context.pick(FULL, TOY), context.device)
    except TimeoutError:
        raise
    except Exception as error:
        traceback.print_exc()
        context.check(name, False, 'no error', error=repr(error)[:300])
        context.synchronize()  # raises here if the device is lost
        return
    worst = max(differences, key=lambda key: _excess(*differences[key]))
    apart, allowed = differences[worst]
    expected = f'differs by at most {allowed:g}'
    found = {'compared': len(differences), worst: apart}
    context.check(name, apart <= allowed, expected, **found)


def _excess(apart: float, allowed: float) -> float:
    return apart / allowed if allowed else apart and float('inf')
