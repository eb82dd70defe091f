"""One value under the several names that it has in the configs of others."""

from __future__ import annotations

from ...errors import BadInputError
from ...values import check_values


def choose_temperature(owner: str, default: float, **named: float | None) -> float:
    """The one value of ``named`` that is given, or ``default``.

    Raises:
        BadInputError: More than one is given, or it is not positive.
    """
    given = {name: value for name, value in named.items() if value is not None}
    if len(given) > 1:
        both = ' and '.join(f'{name}={value}' for name, value in given.items())
        raise BadInputError(f'{owner} has {both}, which name the same thing; give one of them')
    for name, value in given.items():
        check_values(owner, **{name: (value, 'a number > 0')})
        return float(value)
    return default
