"""The problems that an inspection finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..formats.annotation_refusals import Refusal
from ..formats.annotation_remarks import Remark
from .kinds import KINDS, Effect

FIRST = 5  # cases that are named
# What becomes of the thing: in these something that was annotated does not count.
LOSSES = ('refused', 'dropped', 'ignored')


@dataclass(frozen=True)
class Problem:
    """A problem of a file.

    Args:
        file: 'train', 'val' or 'both'.
        kind: Key of ``KINDS``.
        count: How many there are.
        counted: What is counted.
        text: The problem in a line; of what is refused, the message on the first.
        first: The first of them: ids, names or paths.
        training, evaluation: What becomes of them.
    """

    file: str
    kind: str
    count: int
    counted: str
    text: str
    first: list
    training: Effect
    evaluation: Effect

    @property
    def refused(self) -> bool:
        """Whether it stops what the file is used for."""
        return any(effect.what == 'refused' for effect in self._relevant)

    @property
    def lost(self) -> bool:
        """Whether it loses something: of 'train' in training, of 'val' in evaluation."""
        stated = KINDS[self.kind].lost
        return any(e.what in LOSSES for e in self._relevant) if stated is None else stated

    @property
    def _relevant(self) -> list[Effect]:
        effects = {'train': [self.training], 'val': [self.evaluation]}
        return effects.get(self.file, [self.training, self.evaluation])

    @property
    def title(self) -> str:
        """What is counted, and what holds for it."""
        return KINDS[self.kind].line

    def as_dict(self) -> dict:
        """The fields and ``lost`` by name; effects as dicts of ``what`` and ``text``."""
        effects = {key: getattr(self, key)._asdict() for key in ('training', 'evaluation')}
        return {**asdict(self), **effects, 'lost': self.lost}


def problem(
    file: str,
    kind: str,
    count: int,
    first: Sequence | np.ndarray,
    protocol: str = 'lvis',
    text: str | None = None,
) -> Problem:
    """A problem of a kind.

    Args:
        file: 'train', 'val' or 'both'.
        kind: Key of ``KINDS``.
        count: How many there are.
        first: All or the first of them.
        protocol: By whose rules the file would be evaluated.
        text: Instead of the title of the kind.
    """
    meaning = KINDS[kind]
    evaluation = meaning.coco if protocol == 'coco' and meaning.coco else meaning.evaluation
    first = first[:FIRST].tolist() if isinstance(first, np.ndarray) else list(first[:FIRST])
    text = text or meaning.line
    return Problem(file, kind, count, meaning.counted, text, first, meaning.training, evaluation)


def of_remarks(file: str, remarks: Iterable[Remark], protocol: str) -> list[Problem]:
    """What the reader of annotation files says, as problems."""
    return [problem(file, r.kind, r.count, r.first, protocol) for r in remarks]


def of_refusals(file: str, refusals: Iterable[Refusal]) -> list[Problem]:
    return [problem(file, r.kind, r.count, r.first, text=r.text) for r in refusals]
