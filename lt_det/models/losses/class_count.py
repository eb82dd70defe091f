"""Losses with a number of classes of their own: that of the head they are in."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.registry import Registry

from ...errors import BadInputError


def with_class_count(loss: Any, num_classes: int, head: str, key: str, registry: Registry) -> Any:
    """A loss config that has the number of classes of its head, wherever the loss asks for one.

    Args:
        loss: The config; what is no config comes back as it is. Losses around others have them in
            their own ``loss``.
        num_classes: C of the head.
        head: Key of the head, for messages.
        key: Key of the loss, for messages.
        registry: Where the losses are.

    Raises:
        BadInputError: The config gives another number.
    """
    if not isinstance(loss, dict):
        return loss
    loss = loss.copy()
    if 'loss' in loss:
        inner = f'{key}.loss'
        loss['loss'] = with_class_count(loss['loss'], num_classes, head, inner, registry)
    given = loss.get('num_classes')
    if isinstance(given, int) and given > 0 and given != num_classes:
        raise other_class_count(given, num_classes, head, key)
    kind = loss.get('type')
    kind = registry.get(kind) if isinstance(kind, str) else kind
    if given is None and inspect.isclass(kind) and _takes(kind, 'num_classes'):
        loss['num_classes'] = num_classes
    return loss


def other_class_count(given: int, wanted: int, head: str, key: str) -> BadInputError:
    """The error for a loss that is built for another number of classes than its head."""
    return BadInputError(
        f'{key}.num_classes is {given}, but {head}.num_classes is {wanted}; expected {wanted} in '
        f'{key} too, or no num_classes there'
    )


def _takes(kind: type, name: str) -> bool:
    """Whether a class takes an argument, itself or through its ``**kwargs``."""
    for parent in kind.__mro__:
        if '__init__' not in vars(parent):
            continue
        parameters = inspect.signature(parent.__init__).parameters
        if name in parameters:
            return True
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return False
    return False
