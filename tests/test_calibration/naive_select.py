"""The choice among settings by repeating images instead of weighing them, in plain Python."""

from __future__ import annotations

import math
import statistics

import numpy as np

from lt_det.calibration.select import halves, select
from lt_det.calibration.settings import IDENTITY, Setting
from lt_det.evaluation.diagnosis.comparison import resample


def setting(family, strength):
    rule = dict(type=family, strength=strength)
    return Setting(f'{family}({strength})', (rule,), family, strength)


SETTINGS = [IDENTITY, *(setting(f, s / 10) for f in ('A', 'B', 'C') for s in range(1, 20))]


class Case:
    """Labels of images, and which of them each setting gets right: values are accuracies.

    Args:
        label: (I,) class of each image.
        right: (S, I) bool.
        num_classes: K.
    """

    def __init__(self, label, right, num_classes):
        self.label, self.right, self.num_classes = label, right, num_classes
        self.calls = []

    @classmethod
    def random(cls, seed, num_settings, num_images=60, num_classes=6, gain=0.0):
        """Images that settings change at random; ``gain`` more of B's are right in rare classes."""
        rng = np.random.default_rng(seed)
        share = 1 / np.arange(1, num_classes + 1)
        label = rng.choice(num_classes, num_images, p=share / share.sum())
        chance = np.linspace(0.8, 0.4, num_classes)[label]
        right = np.repeat(rng.random((1, num_images)) < chance, num_settings, axis=0)
        drawn = rng.random(right.shape)
        changed = rng.random(right.shape) < 0.2
        changed[0] = False
        right[changed] = (drawn < chance)[changed]
        better = np.array([s.family == 'B' for s in SETTINGS[:num_settings]])
        right |= better[:, None] & (label >= num_classes // 2) & (drawn > 1 - gain)
        return cls(label, right, num_classes)

    def values(self, number, weights):
        assert weights.dtype == np.int32 and weights.shape[1] == len(self.label)
        self.calls.append((number, len(weights)))
        one_hot = self.label[:, None] == np.arange(self.num_classes)
        total = weights @ one_hot
        with np.errstate(invalid='ignore'):
            return (weights * self.right[number]) @ one_hot / total

    def groups(self):
        classes = np.arange(self.num_classes)
        rare = classes >= self.num_classes // 2
        return dict(AP=np.ones(self.num_classes, bool), APr=rare, APf=~rare)

    def select(self, images=None, **arguments):
        images = np.ones(len(self.label), bool) if images is None else images
        chosen = SETTINGS[: len(self.right)]
        return select(chosen, self.values, self.groups(), images, **arguments)


def mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def percentile(values, share):
    values = sorted(values)
    place = share * (len(values) - 1)
    low = math.floor(place)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (place - low)


class Naive:
    """The same choice with lists of images, an image that counts twice in it twice."""

    def __init__(self, case, images, metric, keep, resamples, seed, strata):
        self.case, self.metric, self.keep = case, metric, keep
        masks = [images, *halves(images, strata, seed)]
        self.scopes = [np.flatnonzero(mask).tolist() for mask in masks]
        self.draws = [
            [
                [i for i, times in enumerate(row) for _ in range(times)]
                for row in resample(mask, resamples, seed + n + 1)[1:].tolist()
            ]
            for n, mask in enumerate(masks)
        ]

    def classes(self, number, images):
        labels, right = self.case.label.tolist(), self.case.right[number].tolist()
        hits = [[] for _ in range(self.case.num_classes)]
        for image in images:
            hits[labels[image]].append(right[image])
        return [sum(each) / len(each) if each else None for each in hits]

    def score(self, number, images, metric):
        values = self.classes(number, images)
        return mean([v for v, mine in zip(values, self.case.groups()[metric]) if mine])

    def changes(self, first, second, scope, metric):
        """Of each resample, what cannot be judged left out."""
        pairs = [
            [self.score(number, draw, metric) for number in (first, second)]
            for draw in self.draws[scope]
        ]
        return [None if a is None else a - b for a, b in pairs]

    def pick(self, scope):
        images, chosen = self.scopes[scope], SETTINGS[: len(self.case.right)]
        allowed = []
        for n in range(len(chosen)):
            pairs = [
                (self.score(n, images, name), self.score(0, images, name), loss)
                for name, loss in self.keep.items()
            ]
            if all(base is None or value >= base - loss for value, base, loss in pairs):
                allowed.append(n)
        if not allowed:
            return 0, 0, None, 0
        scores = {n: self.score(n, images, self.metric) for n in allowed}
        top = max(scores.values())
        best = min((chosen[n].strength, n) for n in allowed if scores[n] == top)[1]
        steps = [
            (chosen[n].strength, n)
            for n in allowed
            if n == 0 or chosen[n].family == chosen[best].family
        ]
        for strength, n in sorted(steps):
            if strength >= chosen[best].strength:
                break
            changes = [c for c in self.changes(best, n, scope, self.metric) if c is not None]
            error = statistics.stdev(changes) if len(changes) > 1 else math.inf
            if scores[best] - scores[n] <= error:
                return best, n, error, len(allowed)
        return best, best, None, len(allowed)

    def gain(self, metric, picks):
        halves_, changes = [], []
        for half, other in ((1, 2), (2, 1)):
            number = picks[half][1]
            a, b = (self.score(n, self.scopes[other], metric) for n in (number, 0))
            halves_.append(None if a is None else a - b)
            changes.append(self.changes(number, 0, other, metric))
        means = [m for m in map(mean, zip(*changes)) if m is not None]
        interval = [percentile(means, p) for p in (0.025, 0.975)] if means else None
        return mean(halves_), interval, halves_
