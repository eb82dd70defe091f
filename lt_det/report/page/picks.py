"""Which objects and detections a page shows as crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ...evaluation.diagnosis.matches import class_groups
from .detector import Judged, confusions

_SHARES = {'r': 0.5, 'c': 0.25, 'f': 0.25}
_PER_CLASS = {'missed': 4, 'false_positive': 3, 'hit': 2}
_OF_CONFUSIONS, _PER_CONFUSION = 0.2, 2


@dataclass(frozen=True)
class Pick:
    """What a crop shows.

    Attributes:
        kind: 'missed', 'hit' or 'false_positive'.
        annotation: Number of the G annotations, -1 for none.
        detection: Number of the N matched detections, -1 for none.
    """

    kind: str
    annotation: int
    detection: int


def choose(judged: Judged, categories: np.ndarray, most: int) -> list[Pick]:
    """Choose what is shown, the worst rare classes first.

    A fifth are objects that go to another class, two of each of the most frequent confusions. Of
    the rest half are of rare classes, a quarter each of common and frequent ones, as far as there
    are so many. Within a group the classes with the lowest AP come first, with one of each kind,
    then with more: the largest missed objects, the false positives and the hits with the highest
    scores.

    Args:
        judged: Matched detections.
        categories: (K,) bool, classes that are reported.
        most: Number of picks.
    """
    missed = np.flatnonzero(judged.missed & categories[judged.truth.category])
    missed = missed[np.argsort(-judged.truth.areas[missed], kind='stable')]
    groups = class_groups(judged.truth, categories)
    named = [name for name in groups if name != 'all'] or ['all']
    queues = {name: _of_classes(judged, groups[name], missed) for name in named}
    confused = list(islice(_confused(judged, categories, missed), int(most * _OF_CONFUSIONS)))
    left = most - len(confused)
    taken: dict[str, list[Pick]] = {}
    for name in named:
        share = int(left * _SHARES.get(name, 1.0))
        taken[name] = list(islice(queues[name], share))
    spare = left - sum(map(len, taken.values()))
    for name in named:
        more = list(islice(queues[name], spare))
        taken[name] += more
        spare -= len(more)
    picks = [pick for name in named for pick in taken[name]] + confused
    return list(dict.fromkeys(picks))[:most]


def _of_classes(judged: Judged, classes: np.ndarray, missed: np.ndarray) -> Iterator[Pick]:
    """Picks of some classes, (K,) bool."""
    precision = judged.precision[0]
    order = np.flatnonzero(classes)
    order = order[np.argsort(precision[order], kind='stable')]  # NaN comes last
    queues = [_of_class(judged, k, missed) for k in order.tolist()]
    for queue in queues:
        yield from islice(queue, len(_PER_CLASS))
    for queue in queues:
        yield from queue


def _of_class(judged: Judged, k: int, missed: np.ndarray) -> Iterator[Pick]:
    """Picks of a class, one kind after the other."""
    matches = judged.matches
    first, last = np.searchsorted(matches.category, [k, k + 1])
    mine = missed[judged.truth.category[missed] == k]
    wrong = first + np.flatnonzero(judged.wrong[first:last])
    hit = first + np.flatnonzero(judged.hit[first:last])
    queues: dict[str, Iterable[Pick]] = {
        'missed': (_missed(judged, a) for a in mine.tolist()),
        'false_positive': (_false_positive(judged, d) for d in wrong.tolist()),
        'hit': (Pick('hit', int(matches.annotation[0][d]), d) for d in hit.tolist()),
    }
    iterators = [islice(queue, _PER_CLASS[kind]) for kind, queue in queues.items()]
    while iterators:
        for iterator in list(iterators):
            pick = next(iterator, None)
            if pick is None:
                iterators.remove(iterator)
            else:
                yield pick


def _confused(judged: Judged, categories: np.ndarray, missed: np.ndarray) -> Iterator[Pick]:
    """Missed objects of the most frequent confusions."""
    own = judged.truth.category[missed]
    taker = judged.taker[missed]
    given = np.full(len(missed), -1)
    given[taker >= 0] = judged.matches.category[taker[taker >= 0]]
    for entry in confusions(judged, categories):
        if entry['predicted'] is not None:
            found = missed[(own == entry['truth']) & (given == entry['predicted'])]
            yield from (_missed(judged, a) for a in found[:_PER_CONFUSION].tolist())


def _missed(judged: Judged, annotation: int) -> Pick:
    return Pick('missed', annotation, int(judged.taker[annotation]))


def _false_positive(judged: Judged, detection: int) -> Pick:
    return Pick('false_positive', int(judged.under[detection]), detection)
