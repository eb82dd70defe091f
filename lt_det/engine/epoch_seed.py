"""Randomness that depends on the epoch alone: a resumed run repeats the uninterrupted one."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds Python, NumPy and torch at the start of every epoch from (seed, epoch, rank).

    A run resumed at the end of an epoch then draws what the uninterrupted one would have drawn:
    MMEngine restores weights, optimizer and schedule, but no random state. The data loader needs
    ``persistent_workers=False`` and ``worker_init_fn=dict(type='seed_worker')`` for the same of
    its workers (MMEngine's own worker seeds do not change from epoch to epoch).
    """

    def before_train_epoch(self, runner: Runner) -> None:
        entropy = np.random.SeedSequence([runner.seed, runner.epoch, get_rank()])
        seed = int(entropy.generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)  # every CUDA device too


@FUNCTIONS.register_module()
def seed_worker(worker_id: int, **kwargs) -> None:
    """Seed a data loader worker from the loader's seed, which the main process drew this epoch."""
    seed = torch.utils.data.get_worker_info().seed % 2**32
    random.seed(seed)
    np.random.seed(seed)
