"""Which images an epoch shows: by image, by class, or between."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS

from ..dataset_parts import items_of
from ..errors import BadInputError
from ..values import check_values

# q in p_c ~ n_c ** q; progressive sampling goes from 1 to 0
POWERS = dict(instance=1.0, square_root=0.5, class_balanced=0.0, progressive=1.0, mixed=1.0)


def class_probabilities(
    counts: np.ndarray, mode: str, epoch: int = 0, max_epochs: int | None = None
) -> np.ndarray:
    """Probability that a draw shows class c (Kang et al., arXiv 1910.09217, equations 1 and 2).

    ``p_c = n_c^q / sum_i n_i^q`` with q = 1 (instance), 1/2 (square_root), 0 (class_balanced);
    progressive: ``(1 - t/T) p(q=1) + t/T p(q=0)`` in epoch t of 0..T; mixed: the mean of p(q=1) and
    p(q=0) in every epoch. Classes without an image have probability 0.

    Args:
        counts: Images n_c of each class, (C,).
        mode: A key of ``POWERS``.
        epoch: t.
        max_epochs: T, for progressive.

    Returns:
        (C,) float64 of sum 1.
    """
    present = counts > 0

    def power(q: float) -> np.ndarray:
        weight = np.where(present, np.maximum(counts, 1.0) ** q, 0.0)
        return weight / weight.sum()

    if mode not in ('progressive', 'mixed'):
        return power(POWERS[mode])
    done = 0.5 if mode == 'mixed' else min(epoch / max_epochs, 1.0)
    return (1 - done) * power(1.0) + done * power(0.0)


@DATA_SAMPLERS.register_module()
class LongTailSampler(DefaultSampler):
    """Draws a class with :func:`class_probabilities`, then one of its images, with replacement.

    An epoch is as long as with MMEngine's DefaultSampler, and so is what a process gets of it.
    ``mode='instance'`` is that sampler itself: every image once. The order depends on seed and
    epoch alone (``DistSamplerSeedHook`` tells the epoch).

    Args:
        dataset: A classification data set, one label per image.
        mode: ``'instance'``, ``'class_balanced'``, ``'square_root'``, ``'progressive'`` or
            ``'mixed'``.
        max_epochs: T of progressive sampling.
        begin: First epoch (from 0) of ``mode``; earlier ones are instance-balanced (deferred
            re-sampling; for progressive sampling, t counts from there).
        **kwargs: ``seed`` and ``round_up``.

    Raises:
        BadInputError: Unknown mode, no ``max_epochs`` for progressive, or an image with several
            labels.
    """

    def __init__(
        self,
        dataset,
        mode: str = 'class_balanced',
        max_epochs: int | None = None,
        begin: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(dataset, shuffle=True, **kwargs)
        check_values(
            'sampler',
            mode=(mode, tuple(POWERS)),
            max_epochs=(max_epochs, 'a whole number >= 1, or None'),
            begin=(begin, 'a whole number >= 0'),
        )
        if mode == 'progressive' and (max_epochs is None or max_epochs <= begin):
            raise BadInputError(
                f'sampler.max_epochs is {max_epochs}, expected the number of epochs of the '
                f'schedule, more than begin={begin}'
            )
        self.mode = mode
        self.max_epochs = max_epochs
        self.begin = begin
        self.labels = single_labels(dataset)

    @property
    def needs_epoch(self) -> bool:
        """Whether it never begins, or never goes on, where no hook tells it the epoch."""
        return self.begin > 0 or self.mode == 'progressive'

    def __iter__(self) -> Iterator[int]:
        if self.mode == 'instance' or self.epoch < self.begin:
            return super().__iter__()
        counts = np.bincount(self.labels)
        span = None if self.max_epochs is None else self.max_epochs - self.begin
        probability = class_probabilities(counts, self.mode, self.epoch - self.begin, span)
        weight = (probability / np.maximum(counts, 1))[self.labels]
        # every process draws the whole epoch and takes its part
        rng = np.random.default_rng([self.seed, self.epoch])
        drawn = rng.choice(len(weight), self.total_size, p=weight / weight.sum())
        return iter(drawn[self.rank : self.total_size : self.world_size].tolist())


def single_labels(dataset) -> np.ndarray:
    """Labels (N,) of a classification data set of MMPretrain's interface, wrapped or not."""
    items = items_of(dataset)
    item, label = items.labels()
    count = np.bincount(item, minlength=len(items.index))
    wrong = np.flatnonzero(count != 1)
    if len(wrong):
        part = type(items.parts[items.part[wrong[0]]]).__name__
        raise BadInputError(
            f'item {wrong[0]} of {part} has {count[wrong[0]]} labels, '
            'LongTailSampler needs exactly one'
        )
    return label[np.argsort(item)]
