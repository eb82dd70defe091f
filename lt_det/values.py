"""Values of a config, refused where a part is built and before they train it wrongly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

from .errors import BadInputError

_OR_NONE = ', or None'
# by what a kind says of the number
_LIMITS: dict[str, Callable[[Any], bool]] = {
    '': lambda value: True,
    '> 0': lambda value: value > 0,
    '>= 0': lambda value: value >= 0,
    '>= 1': lambda value: value >= 1,
    '>= 3': lambda value: value >= 3,
    'in [0, 1]': lambda value: 0 <= value <= 1,
    'in [0, 1)': lambda value: 0 <= value < 1,
    'in (0, 1]': lambda value: 0 < value <= 1,
}


def is_kind(value: object, kind: str) -> bool:
    """Whether a value is of a kind, in the words of a message.

    Kinds are ``'True or False'`` and those of numbers, as ``'a number > 0'`` or ``'a whole number
    >= 1, or None'``. Texts, True, False, NaN and infinity are no numbers.
    """
    if value is None:
        return kind.endswith(_OR_NONE)
    if (flag := kind.startswith('True or False')) or isinstance(value, bool):
        return flag and isinstance(value, bool)
    if not isinstance(value, Integral if 'whole' in kind else Real) or not math.isfinite(value):
        return False
    _, _, limit = kind.removesuffix(_OR_NONE).partition('number')
    return _LIMITS[limit.strip()](value)


def check_values(part: str, **values: tuple[object, str | Sequence[object]]) -> None:
    """Refuse a value that is not what is expected::

        check_values('loss_cls', power=(power, 'a number >= 0'), mode=(mode, ('train', 'test')))

    Args:
        part: Key of the config that the values stand below.
        **values: Of each key, the value, and its kind (see :func:`is_kind`) or all good values.

    Raises:
        BadInputError: Names the first value that is not good, and what is expected.
    """
    for key, (value, good) in values.items():
        if is_kind(value, good) if isinstance(good, str) else value in good:
            continue
        if not isinstance(good, str):
            good = f'one of {tuple(good)}' if len(good) > 1 else repr(good[0])
        raise BadInputError(f'{part}.{key} is {value!r}, expected {good}')
