"""What BALLAD's cached features save in time, and its chunks of texts in memory."""

from __future__ import annotations

import logging
import statistics
import time
import weakref
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lt_det.engine import ModuleEpochHook
from lt_det.engine.phase_runner import PhaseRunner


def measure_speed(config: Callable[[int], Config]) -> list[dict]:
    """Seconds of the second epoch of phase B: images through the tower, and cached features.

    ``config`` makes the config of a repeat.
    """
    times: dict[bool, list[float]] = {True: [], False: []}
    for repeat in range(3):
        for cached in times:
            cfg = config(repeat)
            cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
            cfg.phases.phase_b.after = None
            # the first one encodes the texts, the last one saves the weights
            cfg.phases.phase_b.train_cfg.max_epochs = 3
            cfg.phases.phase_b.extra_hooks[0].update(cached=cached, views=2)
            runner = PhaseRunner(cfg).build('phase_b')
            MMLogger.get_current_instance().setLevel(logging.WARNING)
            clock = _EpochClock()
            runner.register_hook(clock)
            runner.train()
            times[cached].append(clock.seconds[1])
    stock, ours = (statistics.median(times[cached]) for cached in (False, True))
    small = dict(stage='epoch of phase B, small tower at 64 pixels', stock_s=stock, ours_s=ours)
    rows = [small, _large_tower(ours / clock.images)]
    return [row | dict(speedup=round(row['stock_s'] / row['ours_s'], 1)) for row in rows]


def _large_tower(cached_s: float) -> dict:
    """The same for ResNet-50 at its native size: one batch of 16, without reading images."""
    register_all_modules(init_default_scope=True)
    model = MODELS.build(
        dict(
            type='BALLAD',
            clip=dict(name='RN50-quickgelu'),
            head=dict(type='LongTailClsHead', num_classes=1000),
            phase='linear_probe',
        )
    ).eval()
    images = torch.randn(16, 3, 224, 224)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        with torch.no_grad():
            model.image_features(images)
        seconds.append((time.perf_counter() - start) / len(images))
    return dict(
        stage='image of phase B, RN50 at 224 pixels, its tower alone against the whole cached step',
        stock_s=statistics.median(seconds),
        ours_s=cached_s,
    )


class _EpochClock(ModuleEpochHook):
    """Wall-clock seconds of each epoch."""

    priority = 'VERY_LOW'

    def before_train(self, runner) -> None:
        self.seconds: list[float] = []

    def before_train_epoch(self, runner) -> None:
        self.images = len(runner.train_loop.dataloader.sampler)
        self.start = time.perf_counter()

    def after_train_epoch(self, runner) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def measure_memory(num_texts: int = 1000) -> list[dict]:
    """Peak of what a step of RN50's text tower holds beyond the weights, by chunk and text length.

    On PyTorch's meta device, which computes shapes alone, so that the number depends on no machine.
    """
    register_all_modules(init_default_scope=True)
    model = MODELS.build(
        dict(
            type='BALLAD',
            clip=dict(name='RN50-quickgelu'),
            head=dict(type='TextClsHead', num_classes=num_texts),
            class_names='imagenet',
        )
    )
    used = model.tokens.shape[-1]
    model = model.to(torch.device('meta')).train()
    rows = []
    for length, chunk in ((77, None), (used, None), (used, 500), (used, 250), (used, 100)):
        model.text_chunk = chunk
        tokens = torch.zeros(1, num_texts, length, dtype=torch.int64, device='meta')
        with PeakBytes() as counter:
            model.encode_texts(tokens).sum().backward()
        model.zero_grad()
        rows.append(dict(tokens=length, chunk=chunk or num_texts, gib=counter.peak / 2**30))
    return rows


class PeakBytes(TorchDispatchMode):
    """Bytes of the tensors that are made inside, while they live, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live: set[int] = set()
        self.now = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {
            tensor.untyped_storage()._cdata
            for tensor in tree_leaves((args, kwargs))
            if isinstance(tensor, torch.Tensor)
        }
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage(), given)
        return result

    def _add(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.live or key in given:  # a view
            return
        self.live.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.live.discard(key)
        self.now -= size
