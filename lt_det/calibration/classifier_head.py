"""The head of a classifier that rules are put behind, and the map that they come to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from mmpretrain.models.heads import LinearClsHead, MultiLabelClsHead
from torch import nn

from ..adjustments import ComposedAdjustment, LogitAdjustment, build_adjustment, show_classifier
from ..errors import BadInputError, DataWarning
from ..frequency import ClassFrequency
from ..models.classifiers import CAMCClsHead, LongTailClsHead
from .choice import HeadMap
from .settings import Setting

Rule = LogitAdjustment | ComposedAdjustment
FORWARDS = (LinearClsHead.forward, LongTailClsHead.forward)


def check_head(model: nn.Module, classes: Sequence[str]) -> None:
    """Refuse a model whose logits are not those of one linear layer ``fc``.

    Args:
        model: A classifier.
        classes: Names of the C classes of the held-out images.

    Raises:
        BadInputError: Says why, or that the head is of another number of classes.
    """
    head = getattr(model, 'head', None)
    name = 'None' if head is None else type(head).__name__
    reason = None
    if isinstance(head, MultiLabelClsHead):
        reason = 'asks of each class alone whether it is there: accuracies have no meaning for it'
    elif isinstance(head, CAMCClsHead):
        reason = (
            'classifies twice with one fc, and its features follow the first result: a rule folded '
            'into fc would change them too'
        )
    elif not isinstance(getattr(head, 'fc', None), nn.Linear):
        reason = "has no linear classifier 'fc' that a rule could be folded into"
    elif type(head).forward not in FORWARDS:
        reason = 'makes its logits in a way of its own, not by one linear classifier fc'
    if reason is not None:
        raise BadInputError(
            f"model.head.type is '{name}', which {reason}; expected a head as LinearClsHead or "
            'LongTailClsHead'
        )
    if head.num_classes != len(classes):
        raise BadInputError(
            f'model.head.num_classes is {head.num_classes}, the data set of the held-out images '
            f'has {len(classes)} classes'
        )


def check_settings(settings: Sequence[Setting]) -> None:
    """Refuse settings with a rule that no classifier has what it needs for.

    Raises:
        BadInputError: It needs a background or boxes.
    """
    for setting in settings:
        for needed, what in (
            (setting.needs_background, 'a background'),
            (setting.needs_boxes, 'boxes'),
        ):
            if needed:
                raise BadInputError(
                    f'setting {setting.name} needs {what}, which classification has not; expected '
                    'rules as PriorShift, IIF or TauNorm'
                )


def allowed_settings(settings: Sequence[Setting], head: nn.Module) -> list[Setting]:
    """Without those that read norms of class weights where the layer divides by them anyway."""
    if type(head.fc) is nn.Linear:
        return list(settings)
    allowed = [setting for setting in settings if not setting.needs_classifier]
    if len(allowed) < len(settings):
        warnings.warn(
            f'{len(settings) - len(allowed)} of {len(settings)} settings are left out: they read '
            f'the weights of a plain linear classifier, and this one is a {type(head.fc).__name__}',
            DataWarning,
            stacklevel=2,
        )
    return allowed


def build_rule(setting: Setting, head: nn.Module, frequency: ClassFrequency) -> Rule | None:
    """The rules of a setting behind the logits of a head, as its ``adjustment`` would have them.

    Args:
        setting: Of those that :func:`allowed_settings` leaves.
        head: With a linear classifier ``fc``.
        frequency: Of the training set.

    Returns:
        In evaluation mode, on the device of the head; None for the identity.
    """
    if not setting.rules:
        return None
    rules = [dict(rule) for rule in setting.rules]
    rule = build_adjustment(rules, frequency, background=False).to(head.fc.weight.device).eval()
    show_classifier(rule, head.fc.weight, head.fc.bias)
    return rule


def head_map(head: nn.Module, rule: Rule | None) -> HeadMap:
    """What the head's own adjustment at test and then a rule do to the output of ``fc``."""
    maps = (getattr(head, 'adjustment', None), rule)
    parts = [part for each in maps if each is not None for part in each.rules]
    values = dict(name='head', activation='softmax', num_extra=0, layers=['head.fc'])
    if not parts:
        return HeadMap(**values, scale=[1.0] * head.num_classes, shift=[0.0] * head.num_classes)
    total = ComposedAdjustment(parts)
    if not total.affine:
        return HeadMap(**values, not_affine='not all of the rules are affine maps')
    return HeadMap(**values, scale=total.scale.tolist(), shift=total.shift.tolist())
