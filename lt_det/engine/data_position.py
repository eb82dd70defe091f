"""Batches that are seeded by their position: the same are loaded whatever came before them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset


def seed_all(*entropy: int) -> None:
    """Seed Python, NumPy and torch (with every device) from whole numbers >= 0."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Batch(list):
    """Indices of a batch, and ``entropy`` of what is drawn while they are loaded."""

    entropy: tuple[int, ...] | None = None


class PositionedBatches:
    """A batch sampler that tells each batch its position.

    Args:
        batches: The batch sampler.
        entropy: What else the draws of a batch depend on: the seed and the rank.

    Attributes:
        epoch: Of the batches that come next; it counts on when they are at their end.
    """

    def __init__(self, batches: Iterable[Sequence[int]], *entropy: int) -> None:
        self.batches = batches
        self.entropy = entropy
        self.epoch = 0
        self._begun: tuple[int, Iterator] | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:  # sampler, batch_size, drop_last
        return getattr(self.__dict__['batches'], name)

    def __iter__(self) -> Iterator[Batch]:
        position, batches = self._begun or (0, iter(self.batches))
        epoch, self.epoch, self._begun = self.epoch, self.epoch + 1, None
        for number, indices in enumerate(batches, position):
            batch = Batch(indices)
            batch.entropy = (*self.entropy, epoch, number)
            yield batch

    def skip(self, count: int, endless: bool = False) -> None:
        """Let the next iteration begin after ``count`` batches; no data is loaded for it.

        Args:
            count: Batches from the start of the epoch.
            endless: Go on through further epochs where one has fewer.
        """
        position, batches = 0, iter(self.batches)
        for _ in range(count):
            if next(batches, None) is None:
                if not endless:
                    break
                self.epoch += 1
                if hasattr(self.sampler, 'set_epoch'):
                    self.sampler.set_epoch(self.epoch)
                position, batches = 0, iter(self.batches)
                next(batches, None)
            position += 1
        self._begun = position, batches


class SeededItems:
    """The ``__getitems__`` of a data set, which a loader asks for a whole batch."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.items = getattr(dataset, '__getitems__', None)

    def __call__(self, indices: Sequence[int]) -> list:
        entropy = getattr(indices, 'entropy', None)
        if entropy is not None:
            seed_all(*entropy)
        return self.items(indices) if self.items else [self.dataset[i] for i in indices]


def has_positions(loader: DataLoader) -> bool:
    """Whether batches can be told apart by position: not those of a stream."""
    return not isinstance(loader.dataset, IterableDataset) and loader.batch_sampler is not None


def position_batches(loader: DataLoader, *entropy: int) -> PositionedBatches | None:
    """Have a loader seed every batch from ``entropy``, the epoch and the position in it.

    What a batch holds is then independent of the number of workers, of whether they persist, and
    of the batches before. The loader must not have begun.

    Returns:
        Its batch sampler, or None where batches have no position.
    """
    if not has_positions(loader):
        return None
    if not isinstance(loader.batch_sampler, PositionedBatches):
        # torch guards these against a change while workers read them; there are none yet
        loader.__dict__['batch_sampler'] = PositionedBatches(loader.batch_sampler)
        loader.dataset.__getitems__ = SeededItems(loader.dataset)
    loader.batch_sampler.entropy = entropy
    return loader.batch_sampler
