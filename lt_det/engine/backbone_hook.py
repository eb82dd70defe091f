"""Switches that make the backbone faster or smaller: compiled, channels last, norms folded."""

from __future__ import annotations

from typing import Any

import torch
import torch.fx
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model.efficient_conv_bn_eval import (
    efficient_conv_bn_eval_control,
    turn_on_efficient_conv_bn_eval_for_single_model,
)
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..bare_model import bare_model
from ..errors import BadInputError
from ..values import check_values


@HOOKS.register_module()
class BackboneHook(Hook):
    """Compiles the backbone, lets it work with channels last, folds its norms, or all of them.

    In training and in tests. Parameters, their names and so checkpoints stay as they are, the
    results up to rounding::

        custom_hooks = [..., dict(type='BackboneHook', compile=True, channels_last=True)]

    The backbone alone is one graph; the ``compile=True`` of MMEngine compiles the whole training
    step, which falls into many graphs at what detectors decide from values. A graph is made anew
    for a new size of images: a few minutes in all, so it is for long trainings with few sizes.
    What compiling saves on a GPU: benchmarks/results/gpu.md; what each does on a CPU:
    benchmarks/results/backbone.md.

    A BatchNorm that uses its running statistics, as with ``norm_eval=True`` of a ResNet or in any
    test, is an affine map. Folded, it is part of the weights of the convolution before it in each
    forward pass, and the backward pass needs no output of that convolution (arXiv:2305.11624). It
    is the ``efficient_conv_bn_eval`` of MMEngine, which has it in training alone.

    Args:
        compile: True, or arguments of ``torch.compile`` such as ``dict(mode='max-autotune')``.
        channels_last: Whether weights and images have the channels as their last dimension in
            memory, the layout of the tensor cores of GPUs in half precision.
        fold_norms: Whether norms with fixed statistics are part of the weights before them: less
            memory in training, for images that are large beside the weights.

    Raises:
        BadInputError: Nothing is asked for, the model has no backbone, or its norms cannot be
            folded: ``torch.fx`` has to be able to follow the backbone.
    """

    # before hooks that copy the model
    priority = 'VERY_HIGH'

    def __init__(
        self,
        compile: bool | dict[str, Any] = False,
        channels_last: bool = False,
        fold_norms: bool = False,
    ) -> None:
        if not isinstance(compile, (bool, dict)):
            raise BadInputError(
                f'BackboneHook.compile is {compile!r}, expected True, False or a dict of arguments '
                'of torch.compile'
            )
        check_values(
            'BackboneHook',
            channels_last=(channels_last, 'True or False'),
            fold_norms=(fold_norms, 'True or False'),
        )
        if compile is False and not channels_last and not fold_norms:
            raise BadInputError(
                'BackboneHook has compile=False, channels_last=False and fold_norms=False, which '
                'changes nothing; expected one of them, or no BackboneHook'
            )
        self.compile = compile
        self.channels_last = channels_last
        self.fold_norms = fold_norms
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
        new = [backbone for backbone in backbones if id(backbone) not in self._changed]
        for backbone in new:
            self._changed.add(id(backbone))
            self._change(backbone)
        if new and self.channels_last and isinstance(runner.model, DistributedDataParallel):
            # it has laid out the gradients that it sums as the weights were before
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)

    def _change(self, backbone: nn.Module) -> None:
        if self.channels_last:
            backbone.to(memory_format=torch.channels_last)
            backbone.register_forward_pre_hook(_with_channels_last)
        if self.fold_norms:
            _fold_norms(backbone)
        if self.compile is not False:
            backbone.compile(**({} if self.compile is True else self.compile))


def _fold_norms(backbone: nn.Module) -> None:
    kind = type(backbone).__name__
    try:
        if _code(backbone, training=True) != _code(backbone, training=False):
            raise RuntimeError('it does something else in training than in a test')
        turn_on_efficient_conv_bn_eval_for_single_model(backbone)
    except Exception as error:  # whatever a backbone does when it is called with no tensor
        reason = str(error).split('\n')[0]
        raise BadInputError(
            f'BackboneHook.fold_norms is True, but torch.fx cannot follow the backbone {kind} '
            f'({type(error).__name__}: {reason}); expected fold_norms=False, or a ResNet or the '
            'like with with_cp=False'
        ) from error
    graph = backbone.forward.__self__.graph
    folded = sum(node.target is efficient_conv_bn_eval_control for node in graph.nodes)
    if not folded:
        raise BadInputError(
            f'BackboneHook.fold_norms is True, but the backbone {kind} has no BatchNorm behind a '
            'convolution; expected fold_norms=False'
        )
    MMLogger.get_current_instance().info(
        f'{folded} norms of the backbone are folded into weights wherever their statistics are '
        'fixed (norm_eval=True, or a test)'
    )


def _code(backbone: nn.Module, training: bool) -> str:
    """What a backbone computes, but for what its layers of torch do in training alone."""
    before = backbone.training
    backbone.train(training)
    try:
        return torch.fx.symbolic_trace(backbone).code
    finally:
        backbone.train(before)


def _with_channels_last(_: nn.Module, inputs: tuple) -> tuple:
    return tuple(
        x.contiguous(memory_format=torch.channels_last)
        if isinstance(x, torch.Tensor) and x.dim() == 4
        else x
        for x in inputs
    )
