"""Choose a setting on held-out images, and say whether it is better than none by more than chance.

Shapes: S settings, I images, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInputError
from ..evaluation.diagnosis.comparison import interval_of, means_of_known, resample
from .selection import SCOPES, Gain, Pick, Selection

if TYPE_CHECKING:
    from .settings import Setting

KEEP = {'APf': 0.005}


def select(
    settings: Sequence[Setting],
    values: Callable[[int, np.ndarray], np.ndarray],
    groups: Mapping[str, np.ndarray],
    images: np.ndarray,
    metric: str = 'AP',
    keep: Mapping[str, float] | None = None,
    resamples: int = 100,
    seed: int = 0,
    strata: np.ndarray | None = None,
    positives: Mapping[str, np.ndarray] | None = None,
) -> Selection:
    """Choose among settings, and cross-fit in two halves of the images what the choice is worth.

    A choice on some images is the setting with the best ``metric`` of those that ``keep`` what is
    to be kept; then the weakest of its family, the identity included, that keeps it too and is
    worse by at most one standard error of that difference (Breiman et al. 1984, section 3.4.3), by
    a paired bootstrap over these images.

    What it is worth is measured where it was not made: chosen on one half of the images, scored
    against the identity on the other, and the other way round. The interval resamples the images of
    each half. Unless it lies above zero, the identity is taken. Where classes are in one or two
    images of a half it is too narrow, as resamples without a class say nothing of it (measured:
    benchmarks/results/calibration_guard.md).

    Args:
        settings: One of them is the identity.
        values: ``values(number, weights)`` gives the values of each class, (n, K) float64, of a
            setting when image i counts ``weights[:, i]`` times, (n, I) int32; NaN where a class has
            nothing to find.
        groups: For each metric its classes, (K,) bool. A metric is the mean over those that have
            something to find.
        images: (I,) bool, those that are held out.
        metric: What is to rise.
        keep: How much metrics may be lower than those of the identity; by default 0.005 of APf,
            where there is one. On a half where it has nothing to find, such a metric is not asked.
        resamples: R, at least 2.
        seed: Of the halves; that of the resampling of the scopes is 1, 2 and 3 more.
        strata: (I,) int, as the rarest class of an image: see :func:`halves`.
        positives: (K,) int by name, as annotations of the classes, to be reported.

    Raises:
        BadInputError: No identity, an unknown metric, or one that cannot be judged, because none of
            its classes is on the held-out images or, for ``metric``, on one half of them.
    """
    identity = _identity(settings)
    check_options(groups, metric, keep, resamples)
    check_images(int(images.sum()))
    masks = dict(zip(SCOPES, (images, *halves(images, strata, seed))))
    weights = np.array(list(masks.values()), np.int32)
    plain = np.array([values(number, weights) for number in range(len(settings))], np.float64)
    # (S, 3) of each metric
    metrics = {
        name: np.array([means_of_known(rows[:, classes]) for rows in plain])
        for name, classes in groups.items()
    }
    if keep is None:
        keep = {k: v for k, v in KEEP.items() if k in groups and k != metric}
        keep = {k: v for k, v in keep.items() if not np.isnan(metrics[k][identity, 0])}
    _check_judged(metrics, identity, metric, keep)
    rows = _Resampled(values, groups, masks, resamples, seed)
    picks = {
        scope: _pick(
            settings, {k: v[:, n] for k, v in metrics.items()}, identity, metric, keep, rows, scope
        )
        for n, scope in enumerate(SCOPES)
    }
    gains = {name: _cross_fitted(name, picks, identity, rows) for name in groups}
    candidate = picks['all'].number
    fold, reason = _decide(settings, metrics[metric][:, 0], identity, metric, keep, picks, gains)
    judged = ~np.isnan(plain[identity, 0])
    return Selection(
        settings=[setting.name for setting in settings],
        metric=metric,
        keep=dict(keep),
        resamples=resamples,
        seed=seed,
        fold=fold,
        chosen=candidate if fold else identity,
        candidate=candidate,
        reason=reason,
        metrics=[
            {name: _known(column[number, 0]) for name, column in metrics.items()}
            for number in range(len(settings))
        ],
        picks=picks,
        gains=gains,
        num_images={scope: int(mask.sum()) for scope, mask in masks.items()},
        positives={
            name: {
                'classes': int((classes & judged).sum()),
                **{key: int(n[classes].sum()) for key, n in (positives or {}).items()},
            }
            for name, classes in groups.items()
        },
        before=[_known(value) for value in plain[identity, 0]],
        after=[_known(value) for value in plain[candidate, 0]],
    )


def check_options(
    metrics: Iterable[str], metric: str, keep: Mapping[str, float] | None, resamples: int
) -> None:
    """Refuse options of :func:`select`; what calibrates does so before the network runs.

    Args:
        metrics: Names of those that there are.
        metric, keep, resamples: As in :func:`select`.
    """
    keep = keep or {}
    known = list(metrics)
    for option, name in (('--metric', metric), *(('--keep', name) for name in keep)):
        if name not in known:
            raise BadInputError(f'{option} is {name}, expected one of {", ".join(known)}')
    for name, loss in keep.items():
        if not np.isfinite(loss):
            raise BadInputError(f'--keep {name}={loss}, expected a finite number')
    if resamples < 2:
        raise BadInputError(f'--resamples is {resamples}, expected at least 2')


def check_images(number: int) -> None:
    """Refuse held-out images that have no two halves."""
    if number < 2:
        raise BadInputError(f'--held-out has {number} images, expected at least 2')


def halves(
    images: np.ndarray, strata: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split images at random into two halves (I,) bool.

    Args:
        images: (I,) bool, images to split.
        strata: (I,) int; of the images with the same number each half gets as many, or one more.
        seed: Of the split.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(images))
    if strata is not None:
        order = order[np.argsort(strata[order], kind='stable')]
    start = int(rng.integers(2))
    parts = []
    for offset in (start, 1 - start):
        mask = np.zeros(len(images), bool)
        mask[order[offset::2]] = True
        parts.append(mask)
    return parts[0], parts[1]


class _Resampled:
    """Metrics of settings on resampled images, computed when they are asked for, once."""

    def __init__(
        self,
        values: Callable[[int, np.ndarray], np.ndarray],
        groups: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray],
        resamples: int,
        seed: int,
    ) -> None:
        self.values = values
        self.groups = groups
        self.weights = {
            scope: resample(mask, resamples, seed + number)
            for number, (scope, mask) in enumerate(masks.items(), 1)
        }
        self._cache: dict[tuple[int, str], dict[str, np.ndarray]] = {}

    def __call__(self, number: int, scope: str) -> dict[str, np.ndarray]:
        """Of each metric (1 + R,), the first on all images of the scope once."""
        if (number, scope) not in self._cache:
            rows = self.values(number, self.weights[scope])
            self._cache[number, scope] = {
                name: means_of_known(rows[:, classes]) for name, classes in self.groups.items()
            }
        return self._cache[number, scope]


def _pick(
    settings: Sequence[Setting],
    metrics: Mapping[str, np.ndarray],
    identity: int,
    metric: str,
    keep: Mapping[str, float],
    resampled: _Resampled,
    scope: str,
) -> Pick:
    """The choice on the images of a scope; ``metrics`` are (S,) on them."""
    kept = np.ones(len(settings), bool)
    for name, loss in keep.items():
        wanted = metrics[name][identity] - loss
        kept &= np.isnan(wanted) | (metrics[name] >= wanted)
    allowed = np.flatnonzero(kept).tolist()
    if not allowed:
        return Pick(identity, identity, None, 0)
    strength = [0 if n == identity else setting.strength for n, setting in enumerate(settings)]
    best = min(allowed, key=lambda n: (-metrics[metric][n], strength[n], n != identity))
    weaker = [
        n
        for n in allowed
        if n == identity
        or (settings[n].family == settings[best].family and strength[n] < strength[best])
    ]
    for number in sorted(weaker, key=lambda n: (n != identity, strength[n])):
        if number == best:
            break
        change = resampled(best, scope)[metric] - resampled(number, scope)[metric]
        error = _standard_error(change[1:])
        if change[0] <= error:
            return Pick(best, number, error, len(allowed))
    return Pick(best, best, None, len(allowed))


def _standard_error(changes: np.ndarray) -> float:
    """Standard deviation over the resamples that can be judged; without two it is anything."""
    changes = changes[~np.isnan(changes)]
    return float(changes.std(ddof=1)) if len(changes) > 1 else np.inf


def _cross_fitted(
    name: str, picks: Mapping[str, Pick], identity: int, resampled: _Resampled
) -> Gain:
    """The gain of what was chosen on one half, on the other; the mean of both."""
    halves = [
        resampled(picks[chosen].number, scored)[name] - resampled(identity, scored)[name]
        for chosen, scored in (('first', 'second'), ('second', 'first'))
    ]
    mean = means_of_known(np.stack(halves, axis=1))
    return Gain(_known(mean[0]), interval_of(mean[1:]), [_known(half[0]) for half in halves])


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _decide(
    settings: Sequence[Setting],
    scores: np.ndarray,
    identity: int,
    metric: str,
    keep: Mapping[str, float],
    picks: Mapping[str, Pick],
    gains: Mapping[str, Gain],
) -> tuple[bool, str]:
    """Whether the choice on all images is taken, and why (not)."""
    pick, gain = picks['all'], gains[metric]
    limits = ' and '.join(f'{name} within {loss:g}' for name, loss in keep.items())
    if len(settings) == 1:
        return False, 'there is no setting but the identity'
    if pick.kept == 0 or (pick.number == identity and pick.kept == 1):
        return False, f'no setting keeps {limits} of the model as it is'
    if pick.best == identity:
        return False, f'no setting{f" that keeps {limits}" * bool(keep)} has a higher {metric}'
    if pick.number == identity:
        higher = scores[pick.best] - scores[identity]
        return False, (
            f'{metric} of the best, {settings[pick.best].name}, is {higher:.4f} higher, which is '
            f'within one standard error ({pick.standard_error:.4f})'
        )
    low, high = gain.interval or (np.nan, np.nan)
    text = f'the cross-fitted gain in {metric} is {gain.gain:+.4f} ({low:+.4f} to {high:+.4f})'
    if not low > 0:
        return False, f'{text}, which is not above zero'
    return True, text


def _identity(settings: Sequence[Setting]) -> int:
    """The number of the setting without rules."""
    numbers = [number for number, setting in enumerate(settings) if not setting.rules]
    if len(numbers) != 1:
        raise BadInputError(f'settings have {len(numbers)} without rules, expected one')
    return numbers[0]


def _check_judged(
    metrics: Mapping[str, np.ndarray], identity: int, metric: str, keep: Mapping[str, float]
) -> None:
    """Refuse metrics without anything to find on the held-out images."""
    for option, name in (('--metric', metric), *(('--keep', name) for name in keep)):
        if np.isnan(metrics[name][identity, 0]):
            raise BadInputError(f'{option} is {name}, of which the held-out images have no class')
    if np.isnan(metrics[metric][identity]).any():
        raise BadInputError(
            f'--metric is {metric}, which cannot be judged: all held-out images with its classes '
            'are in one of the two halves that choose for each other; expected at least 2 of them'
        )
