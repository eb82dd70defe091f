"""Randomness that depends on the position in a training alone: a resumed run goes on exactly."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from .data_position import has_positions, position_batches, seed_all

# what the seeds are of, so that no two draw the same
DATA, EPOCH, ITERATION = range(3)
RECORD = 'data_position'


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Makes a resumed run go on as the uninterrupted one, in the middle of an epoch too.

    MMEngine restores weights, optimizer and schedule, but no random state, and begins an
    interrupted epoch anew. This hook seeds every epoch and iteration from (seed, rank, number), and
    every batch of data from (seed, rank, epoch, position), whatever the number of workers; a
    resumed run begins at the batch after the checkpoint, without loading those before. Where that
    does not make it exact, one line says why: another number of processes or batches, gradients
    accumulated over iterations, transforms that keep images of earlier batches.
    """

    def __init__(self) -> None:
        self._saved: dict | None = None
        self._batches = None
        self._begin = 0

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember where the data of a checkpoint end that is resumed from."""
        if runner._resume:
            self._saved = (checkpoint.get('meta') or {}).get(RECORD) or {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Tell the checkpoint what its position in the data is to be counted by."""
        loader = runner.train_loop.dataloader
        seed = getattr(_sampler(loader), 'seed', None)
        record = dict(batches=_length(loader), processes=get_world_size())
        checkpoint['meta'][RECORD] = record if seed is None else dict(record, sampler_seed=seed)

    def before_train(self, runner: Runner) -> None:
        """Find the position to go on from."""
        if runner.iter == 0 or self._saved is None:
            return
        loop, sampler = runner.train_loop, _sampler(runner.train_loop.dataloader)
        if 'sampler_seed' in self._saved and hasattr(sampler, 'seed'):
            # MMEngine has built it before it read the seed of the checkpoint
            sampler.seed = self._saved['sampler_seed']
        iteration = begin = loop.iter
        if not isinstance(loop, IterBasedTrainLoop):
            begin = self._begin = _move(loop, self._saved.get('batches'))
        reasons = _changes(self._saved, _length(loop.dataloader))
        reasons += _states(runner, begin, iteration)
        if loop.iter != iteration:
            runner.optim_wrapper.initialize_count_status(runner.model, loop.iter, loop.max_iters)
        where = f'after {begin} of {_length(loop.dataloader)} batches of epoch {loop.epoch + 1}'
        if isinstance(loop, IterBasedTrainLoop):
            where = f'after {begin} of {loop.max_iters} iterations'
        if reasons:
            runner.logger.warning(
                f'resumed {where}, but not exactly as if nothing had interrupted the training: '
                + '; '.join(reasons)
            )
        else:
            runner.logger.info(f'resumed {where}, as if nothing had interrupted the training')

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed what is drawn outside of iterations, and tell the data their epoch and position."""
        seed, rank, loop = runner.seed, get_rank(), runner.train_loop
        seed_all(seed, rank, EPOCH, runner.epoch)
        # not before the training: other hooks may replace the loader then
        batches = position_batches(loop.dataloader, seed, rank, DATA)
        if batches is None:
            return
        batches.epoch = runner.epoch
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = iterator = type(loop.dataloader_iterator)(loop.dataloader)

            def skip_iter(count: int) -> None:
                batches.skip(count, endless=True)
                iterator._epoch = batches.epoch

            iterator.skip_iter = skip_iter
        elif self._begin:
            batches.skip(self._begin)
            self._begin = 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seed what the model draws."""
        seed_all(runner.seed, get_rank(), ITERATION, runner.iter)


@FUNCTIONS.register_module()
def seed_worker(worker_id: int, **kwargs) -> None:
    """Seed a data loader worker from the loader's seed, which the main process drew this epoch."""
    seed = torch.utils.data.get_worker_info().seed % 2**32
    random.seed(seed)
    np.random.seed(seed)


def _sampler(loader):
    """What decides the order of the items."""
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)


def _length(loader) -> int | None:
    try:
        return len(loader)
    except TypeError:  # a stream
        return None


def _changes(saved: dict, batches: int | None) -> list[str]:
    """What a checkpoint and this run differ in that decides which items a batch has."""
    if not saved:
        return ['the checkpoint does not say what its data were, it is of a run without this hook']
    return [
        f'the checkpoint is of {saved.get(name)} {words}, this run has {value}'
        for name, words, value in (
            ('processes', 'processes', get_world_size()),
            ('batches', 'batches per epoch', batches),
        )
        if saved.get(name) != value
    ]


def _move(loop, batches: int | None) -> int:
    """Batches of the epoch that are done; the loop gets the iteration that this is."""
    present, epoch = _length(loop.dataloader), loop.epoch
    if not present:
        return 0
    batches = batches or present
    done = min(max(loop.iter - epoch * batches, 0), batches)
    done = done * present // batches
    loop._iter = epoch * present + done
    return done


def _states(runner: Runner, begin: int, iteration: int) -> list[str]:
    """What a training goes on without, ``begin`` batches after the start of an epoch."""
    loader, reasons = runner.train_loop.dataloader, []
    if begin and not has_positions(loader):
        reasons.append('the data are a stream, which begins anew')
    every = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    if iteration % every:
        reasons.append(
            f'gradients are accumulated over {every} iterations, and those of the last few are lost'
        )
    keeping = sorted({type(step).__name__ for step in _steps(loader.dataset) if _keeps(step)})
    if keeping and (begin or loader.persistent_workers):
        reasons.append(f'{" and ".join(keeping)} of the pipeline keep images of earlier batches')
    return reasons


def _steps(dataset) -> list:
    """The transforms of a data set and of those inside it."""
    steps = getattr(dataset, 'pipeline', None) or []
    inner = [dataset.dataset] if hasattr(dataset, 'dataset') else getattr(dataset, 'datasets', [])
    steps = list(getattr(steps, 'transforms', steps))
    return steps + [step for part in inner for step in _steps(part)]


def _keeps(step) -> bool:
    return hasattr(step, 'results_cache')  # CachedMosaic and CachedMixUp of MMDetection
