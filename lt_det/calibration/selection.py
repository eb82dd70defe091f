"""What a choice among settings says; see :func:`lt_det.calibration.select.select`.

Shapes: S settings, K classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..evaluation.classification import SHOT_GROUPS

# what can be chosen by, of a detector and of a classifier
METRICS = {'detector': ('AP', 'APr', 'APc', 'APf'), 'classifier': ('macro', *SHOT_GROUPS)}
SCOPES = ('all', 'first', 'second')  # images that a choice is made on


@dataclass(frozen=True)
class Pick:
    """What is chosen on some of the images.

    Args:
        best: Number of the setting with the best metric of those that keep what is to be kept.
        number: Of the weakest setting of its family that is worse by one standard error at most.
        standard_error: Of the difference of those two; None where they are the same.
        kept: How many settings keep what is to be kept.
    """

    best: int
    number: int
    standard_error: float | None
    kept: int


@dataclass(frozen=True)
class Gain:
    """Of a metric over the identity, on images that the setting was not chosen on.

    Args:
        gain: Mean of the halves; None where the metric has nothing to find.
        interval: Between the 2.5 and 97.5 percentiles of the resamples.
        halves: Scored on the second half, and scored on the first.
    """

    gain: float | None
    interval: list[float] | None
    halves: list[float | None]


@dataclass(frozen=True)
class Selection:
    """The answer of ``select``; metrics are None where there is nothing to find.

    Args:
        settings: Names (S).
        metric, keep, resamples, seed: As given.
        fold: Whether the candidate is taken.
        chosen: Number of the setting that is taken: the candidate or the identity.
        candidate: Number of the choice on all held-out images.
        reason: For the decision, in words.
        metrics: Of each setting (S) on all held-out images.
        picks: What is chosen on ``'all'`` images and on the ``'first'`` and ``'second'`` half.
        gains: Cross-fitted, of each metric.
        num_images: Of each of these scopes.
        positives: Of each metric: how many ``'classes'`` have something to find, and the sums over
            its classes of what was given as ``positives``.
        before, after: Values of each class (K) on all held-out images, of the identity and of the
            candidate.
    """

    settings: list[str]
    metric: str
    keep: dict[str, float]
    resamples: int
    seed: int
    fold: bool
    chosen: int
    candidate: int
    reason: str
    metrics: list[dict[str, float | None]]
    picks: dict[str, Pick]
    gains: dict[str, Gain]
    num_images: dict[str, int]
    positives: dict[str, dict[str, int]]
    before: list[float | None]
    after: list[float | None]

    def as_dict(self) -> dict[str, Any]:
        """For a json."""
        return asdict(self)
