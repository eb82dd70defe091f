"""Which categories of an annotation file a data set uses, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from ..errors import BadInputError, listed

KEY = "metainfo['classes']"


def select_categories(names: Any, known: Sequence[str], source: str) -> list[int]:
    """Numbers in ``known`` of the classes to use, in the order of their labels.

    Args:
        names: List of class names; None for all.
        known: K names of the categories, each once.
        source: The annotation file, for messages.

    Raises:
        BadInputError: It is no list or empty, or has a class twice or one that the file lacks.
    """
    if names is None:
        return list(range(len(known)))
    if not isinstance(names, (list, tuple)) or not names:
        raise BadInputError(f'{KEY} is {names!r:.100}; expected a list of class names')
    names = [str(name) if isinstance(name, (int, float)) else name for name in names]
    number_of = {name: number for number, name in enumerate(known)}
    unknown = [name for name in names if not isinstance(name, str) or name not in number_of]
    if unknown:
        raise BadInputError(
            f'{KEY} has {listed(unknown)}, which {source} does not have'
            + _hint(unknown[0], number_of)
        )
    repeated = sorted({name for name in names if names.count(name) > 1}) if _repeats(names) else []
    if repeated:
        raise BadInputError(
            f'{KEY} has {listed(repeated)} more than once; expected every class once'
        )
    return [number_of[name] for name in names]


def _repeats(names: list[str]) -> bool:
    return len(set(names)) < len(names)


def _hint(name: Any, known: dict[str, int]) -> str:
    """A likely cause of an unknown name."""
    if not isinstance(name, str):
        return ''
    for cut in range(1, len(name)):
        first, second = name[:cut], name[cut:]
        if first in known and second in known:
            return f'; is there a comma missing between {first!r} and {second!r}?'
    near = get_close_matches(name, known, 1)
    return f'; did you mean {near[0]!r}?' if near else ''
