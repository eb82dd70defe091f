"""Tells modules with a schedule of their own which epoch begins."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..protocols import TakesEpoch


@HOOKS.register_module()
class ModuleEpochHook(Hook):
    """Calls ``set_epoch(epoch)``, from 0, of every module of the model that has it.

    For deferred re-weighting (``ClassBalancedLoss(begin=...)``). A resumed run goes on in the right
    epoch.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        for module in runner.model.modules():
            if isinstance(module, TakesEpoch):
                module.set_epoch(runner.epoch)
