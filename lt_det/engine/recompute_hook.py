"""Parts of a model whose inner results are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads.anchor_head import AnchorHead
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..bare_model import bare_model
from ..errors import BadInputError


@HOOKS.register_module()
class RecomputeHook(Hook):
    """Trains with less memory: what lies inside some parts of the model is not kept.

    In the backward pass it is computed anew, which costs one more forward pass of these parts
    (Chen et al., arXiv:1604.06174). Results, gradients and checkpoints stay as they are::

        custom_hooks = [..., dict(type='RecomputeHook', modules=['neck', 'rpn_head'])]

    The ``activation_checkpointing`` of MMEngine is for parts that are called with one tensor: a
    neck or a head gets a tuple of levels, and what is before it would not learn.

    Args:
        modules: Paths of parts in the model, as ``'roi_head.mask_head'``.

    Raises:
        BadInputError: The model has no such part, it has norms that learn their statistics (they
            would see each batch twice), or training never calls it as a whole, as a RoI head.
    """

    priority = 'VERY_HIGH'

    def __init__(self, modules: Sequence[str]) -> None:
        if isinstance(modules, str) or not modules:
            raise BadInputError(
                f"RecomputeHook.modules is {modules!r}, expected a list such as ['neck']"
            )
        self.modules = list(modules)

    def before_run(self, runner: Runner) -> None:
        """Change the parts, once."""
        for name in self.modules:
            part = _find(bare_model(runner.model), name)
            if not isinstance(part, _Recomputed):
                _refuse_norms(part, name)
                _change(part)

    def after_train_iter(self, runner: Runner, batch_idx: int, *args, **kwargs) -> None:
        for name in self.modules:
            if not bare_model(runner.model).get_submodule(name).recomputes:
                raise BadInputError(
                    f'RecomputeHook.modules has {name!r}, which training does not call as a whole; '
                    'expected parts of it, as roi_head.mask_head of roi_head'
                )


class _Recomputed:
    """Mixed into the class of a part: a method of its own would not be copied by EMAHook."""

    recomputes = False  # whether a training has called it

    def forward(self, *args, **kwargs):
        return self._kept(super().forward, *args, **kwargs)

    def _kept(self, function, *args, **kwargs):
        """What a function gives, of which nothing else is kept in training."""
        if not (self.training and torch.is_grad_enabled()):
            return function(*args, **kwargs)
        self.recomputes = True
        return checkpoint(function, *args, use_reentrant=False, **kwargs)


class _RecomputedLevels(_Recomputed):
    """Of an RPN and the like, level by level: in the backward pass one is there at a time."""

    def forward(self, *args, **kwargs):
        return super(_Recomputed, self).forward(*args, **kwargs)

    def forward_single(self, *args, **kwargs):
        return self._kept(super().forward_single, *args, **kwargs)


def _find(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        there = ', '.join(name for name, _ in model.named_children())
        kind = type(model).__name__
        raise BadInputError(
            f'RecomputeHook.modules has {name!r}, which {kind} has not; it has {there}'
        ) from None


def _refuse_norms(part: nn.Module, name: str) -> None:
    norms = [m for m in part.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    if any(norm.track_running_stats for norm in norms):
        raise BadInputError(
            f'RecomputeHook.modules has {name!r}, with a {type(norms[0]).__name__} that would see '
            'each batch twice; expected parts without norms that learn their statistics'
        )


def _change(part: nn.Module) -> None:
    """The class of a part, mixed with :class:`_Recomputed`, under its name."""
    kind = type(part)
    by_level = kind.forward is AnchorHead.forward  # which calls forward_single for each
    mixed = _RecomputedLevels if by_level else _Recomputed
    part.__class__ = type(kind.__name__, (mixed, kind), dict(__module__=kind.__module__))
