"""Two switches that make the backbone faster: torch.compile, and images with channels last."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..bare_model import bare_model
from ..errors import BadInputError


@HOOKS.register_module()
class BackboneHook(Hook):
    """Compiles the backbone, or lets it work with channels last, or both, in training and tests.

    Parameters, their names and so checkpoints stay as they are, the results up to rounding::

        custom_hooks = [..., dict(type='BackboneHook', compile=True, channels_last=True)]

    The backbone alone is one graph; the ``compile=True`` of MMEngine compiles the whole training
    step, which falls into many graphs at what detectors decide from values. A graph is made anew
    for a new size of images: a few minutes in all, so it is for long trainings with few sizes.
    What compiling saves on a GPU: benchmarks/results/gpu.md; what both do on a CPU:
    benchmarks/results/backbone.md.

    Args:
        compile: True, or arguments of ``torch.compile`` such as ``dict(mode='max-autotune')``.
        channels_last: Whether weights and images have the channels as their last dimension in
            memory, the layout of the tensor cores of GPUs in half precision.

    Raises:
        BadInputError: Neither is asked for, or the model has no backbone.
    """

    # before hooks that copy the model
    priority = 'VERY_HIGH'

    def __init__(self, compile: bool | dict[str, Any] = False, channels_last: bool = False) -> None:
        if not isinstance(compile, (bool, dict)):
            raise BadInputError(
                f'BackboneHook.compile is {compile!r}, expected True, False or a dict of arguments '
                'of torch.compile'
            )
        if compile is False and not channels_last:
            raise BadInputError(
                'BackboneHook has compile=False and channels_last=False, which changes nothing; '
                'expected one of them, or no BackboneHook'
            )
        self.compile = compile
        self.channels_last = channels_last
        self._changed: set[int] = set()

    def before_run(self, runner: Runner) -> None:
        """Change every ``backbone`` of the model, once."""
        model = bare_model(runner.model)
        backbones = [m for name, m in model.named_modules() if name.split('.')[-1] == 'backbone']
        if not backbones:
            raise BadInputError(
                f'BackboneHook is in custom_hooks, but model.type {type(model).__name__} has no '
                'backbone; expected a model with one, or no BackboneHook'
            )
        for backbone in backbones:
            if id(backbone) not in self._changed:
                self._changed.add(id(backbone))
                self._change(backbone)

    def _change(self, backbone: nn.Module) -> None:
        if self.channels_last:
            backbone.to(memory_format=torch.channels_last)
            backbone.register_forward_pre_hook(_with_channels_last)
        if self.compile is not False:
            backbone.compile(**({} if self.compile is True else self.compile))


def _with_channels_last(_: nn.Module, inputs: tuple) -> tuple:
    return tuple(
        x.contiguous(memory_format=torch.channels_last)
        if isinstance(x, torch.Tensor) and x.dim() == 4
        else x
        for x in inputs
    )
