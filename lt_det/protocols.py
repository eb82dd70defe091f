"""What a part of a model, a metric or a data set may offer, and who asks for it.

A part that needs something from the training data has one of these methods and is told by nobody
else: it needs no base class and no registration. Hooks and heads look for the methods with
``isinstance``.

C classes, D features, V words, B images of a batch, R RoIs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:  # importing this file imports no torch
    import numpy as np
    from torch import Tensor

    from .frequency import ClassFrequency


@runtime_checkable
class TakesClassFrequency(Protocol):
    """A module or metric that needs class statistics.

    ``ClassFrequencyHook`` calls it before a training, and before a test where the checkpoint
    brought none. A module passes them on to what it holds: the hook stops at the outermost.
    """

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        """Take over the statistics of the training set.

        Raises:
            BadInputError: ``frequency`` has another number of classes.
        """


@runtime_checkable
class WelcomesClassFrequency(Protocol):
    """A metric that uses class statistics where they are known, and does without them.

    ``ClassFrequencyHook`` calls it before an evaluation.
    """

    @property
    def wants_frequency(self) -> bool:
        """Whether it has no groups of its own, so that a training set is worth reading."""

    def use_frequency(self, frequency: ClassFrequency) -> None:
        """Use the statistics of the training set."""


@runtime_checkable
class TakesClassifier(Protocol):
    """A rule that reads the weights of the classifier (``TauNorm``).

    The head that holds both calls it when weights are loaded and before an evaluation
    (:func:`lt_det.adjustments.show_classifier`).
    """

    def set_classifier(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Read ``weight`` (C + num_extra, D) and ``bias`` (C + num_extra,)."""


@runtime_checkable
class TakesBoxDimension(Protocol):
    """A rule that depends on where the boxes of each class lie (``FRACAL``).

    ``ClassFrequencyHook`` calls it where ``has_dimension`` is False, for it reads every box.
    """

    has_dimension: bool

    def set_box_dimension(self, dimension: np.ndarray) -> None:
        """Take over the fractal dimension (C,) of each class, all > 0."""


@runtime_checkable
class TakesWords(Protocol):
    """A head that learns from words of images (``CrossModalHead``).

    ``WordsHook`` calls it before a training.
    """

    def set_words(self, vocabulary: Sequence[str], counts: np.ndarray, described: int) -> None:
        """Take over V words, the number of images (V,) that have each, and that have any."""


@runtime_checkable
class HasWords(Protocol):
    """A data set whose images have words (``CrossModalDataset``); ``WordsHook`` reads it."""

    vocabulary: Sequence[str]

    def word_statistics(self) -> tuple[np.ndarray, int]:
        """Images that have each word, (V,), and images that have any."""


@runtime_checkable
class TakesImageLists(Protocol):
    """A loss that has to know what an image was annotated for (``FederatedLoss``).

    ``FederatedLabelsHook`` calls it before each iteration of a training.
    """

    def set_images(self, negative: Tensor, not_exhaustive: Tensor) -> None:
        """Take the lists of the images of the next batch, boolean (B, C) each."""


@runtime_checkable
class TakesRois(Protocol):
    """A loss that has to know which image an RoI is from (``FederatedLoss``).

    ``LongTailBBoxHead`` calls it before each loss.
    """

    def set_rois(self, rois: Tensor) -> None:
        """Take RoIs (R, 5) of the next loss; the first column is the image in the batch."""


@runtime_checkable
class TakesEpoch(Protocol):
    """A module with a schedule of its own (``ClassBalancedLoss``, ``FASA``).

    ``ModuleEpochHook`` calls it before each epoch. A training without that hook is refused, unless
    the module has ``needs_epoch = False``.
    """

    def set_epoch(self, epoch: int) -> None:
        """Take the epoch that begins, from 0."""


@runtime_checkable
class EndsIteration(Protocol):
    """A module that sums over all processes once per iteration (``EqualizedFocalLoss``).

    ``ClassFrequencyHook`` calls it after each iteration of a training, in every process.
    """

    def end_iteration(self) -> None:
        """Sum what this iteration has counted over all processes."""
