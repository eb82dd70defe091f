"""What an annotation file is refused for: raised at the first, or collected to be shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInputError

SINGULAR = {'images': 'image', 'annotations': 'annotation', 'categories': 'category'}
_FIRST = 5


class Refusal(NamedTuple):
    """A reason to refuse a file.

    Args:
        kind: Its name, the same in every file.
        count: How many records, ids or names it is about.
        first: The first of them: ids, names, or where an id could not be read, messages.
        text: The message on the first.
    """

    kind: str
    count: int
    first: list
    text: str


class Refusals:
    """Args:
    collect: Whether to note what is refused and go on without it, rather than raise.
    """

    def __init__(self, collect: bool = False) -> None:
        self.collect = collect
        self._collected: dict[str, Refusal] = {}

    @property
    def collected(self) -> list[Refusal]:
        return list(self._collected.values())

    def add(self, kind: str, first: Sequence | np.ndarray, error: BadInputError) -> None:
        """Refuse records, ids or names for one reason.

        Raises:
            BadInputError: The error, where refusals are not collected.
        """
        if not self.collect:
            raise error
        first = first.tolist() if isinstance(first, np.ndarray) else list(first)
        old = self._collected.get(kind, Refusal(kind, 0, [], str(error)))
        count, shown = old.count + len(first), (old.first + first)[:_FIRST]
        self._collected[kind] = Refusal(kind, count, shown, old.text)

    def record(
        self, section: str, make: Callable[[int, Any], Any], index: int, record: Any
    ) -> Any | None:
        """What ``make`` makes of a record; None if it is refused and refusals are collected."""
        try:
            return make(index, record)
        except BadInputError as error:
            self.add(f'malformed_{SINGULAR[section]}', [str(error)], error)
            return None
