"""What in mmcv's own wrappers keeps the stand-ins from running."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from . import Ops
from .carafe import carafe_naive_backward


def let_naive_carafe_run_on_cpu() -> None:
    """Take the assertion that the gradient is on a GPU out of ``CARAFENaive``.

    The compiled op has no CPU kernel; where it is compiled nothing changes.
    """
    if isinstance(sys.modules.get('mmcv._ext'), Ops):
        sys.modules['mmcv.ops.carafe'].CARAFENaiveFunction.backward = staticmethod(_backward)


def _backward(ctx, grad_output: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
    features, masks = ctx.saved_tensors
    gradients = torch.zeros_like(features), torch.zeros_like(masks)
    carafe_naive_backward(
        grad_output.contiguous(),
        features,
        masks,
        *gradients,
        ctx.kernel_size,
        ctx.group_size,
        ctx.scale_factor,
    )
    return *gradients, None, None, None
