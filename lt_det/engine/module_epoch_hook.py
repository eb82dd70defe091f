"""Tells modules with a schedule of their own which epoch begins."""

from __future__ import annotations

import math

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from ..protocols import TakesEpoch


@HOOKS.register_module()
class ModuleEpochHook(Hook):
    """Calls ``set_epoch(epoch)``, from 0, of every module of the model that has it.

    For deferred re-weighting (``ClassBalancedLoss(begin=...)``). A resumed run goes on in the right
    epoch. To a loop that counts iterations an epoch is as many as all processes need to see the
    training set once.
    """

    def before_train(self, runner: Runner) -> None:
        self._told: int | None = None

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        epoch = runner.epoch
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            epoch = runner.iter // _iterations(runner)
        if epoch == self._told:
            return
        self._told = epoch
        for module in runner.model.modules():
            if isinstance(module, TakesEpoch):
                module.set_epoch(epoch)


def _iterations(runner: Runner) -> int:
    """Iterations in which all processes see the training set once."""
    loader = runner.train_dataloader
    # its length is that of the whole data set in every process
    shares = get_world_size() if isinstance(loader.sampler, InfiniteSampler) else 1
    return math.ceil(len(loader) / shares)
