"""What a model and its data sets have to agree on before a training begins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from torch import nn

from ..dataset_parts import class_names, items_of
from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..models.any_detector.class_logits import class_heads, num_object_classes
from ..protocols import TakesClassFrequency, TakesEpoch
from .module_epoch_hook import ModuleEpochHook


def check_num_classes(model: nn.Module, frequency: ClassFrequency) -> None:
    """Refuse a model with a part for another number of classes; names all such parts."""
    wrong = {
        f'model.{name}.num_classes' if name else 'model.num_classes': number
        for name, number in _class_counts(model).items()
        if number != frequency.num_classes
    }
    if wrong:
        keys = ' and '.join(f'{key} is {value}' for key, value in wrong.items())
        options = ' '.join(f'{key}={frequency.num_classes}' for key in wrong)
        raise BadInputError(
            f'{keys}, the training set has {frequency.num_classes} classes; set it in the config, '
            f'e.g. --cfg-options {options}'
        )


def _class_counts(model: nn.Module) -> dict[str, int]:
    """Numbers of classes of the parts that classify objects, by their names.

    In a detector they are its heads, its masks and what asks for statistics: a head for semantic
    segmentation has classes of its own.
    """
    counts = {name: num_object_classes(head) for name, head in class_heads(model)}
    is_detector = bool(counts)
    for name, module in model.named_modules():
        number = getattr(module, 'num_classes', None)
        # RPN heads have one class; -1 and None stand for "no classes" in backbones.
        if name.endswith('rpn_head') or not isinstance(number, int) or number <= 0:
            continue
        if getattr(module, 'class_agnostic', False) or name in counts:
            continue
        asks = isinstance(module, TakesClassFrequency)
        if not is_detector or _is_mask_head(name) or asks:
            counts[name] = number
    return counts


def _is_mask_head(name: str) -> bool:
    """Whether it is the path of a mask head, alone or one of several stages."""
    return re.search(r'(^|\.)mask_head(\.\d+)?$', name) is not None


def check_same_classes(train: Any, val: Any) -> None:
    """Refuse two data sets whose labels stand for other classes."""
    ours, theirs = (class_names(items_of(dataset).parts) for dataset in (train, val))
    if ours is None or theirs is None or ours == theirs:
        return
    if len(ours) != len(theirs):
        raise BadInputError(
            f'the training set has {len(ours)} classes, the validation set {len(theirs)}'
        )
    label = int(np.flatnonzero([a != b for a, b in zip(ours, theirs, strict=True)])[0])
    raise BadInputError(
        f"class {label} is '{ours[label]}' in the training set and '{theirs[label]}' in the "
        'validation set'
    )


def check_epoch_is_told(model: nn.Module, hooks: Sequence[Hook]) -> None:
    """Refuse a model with a schedule of its own that would never begin."""
    if any(isinstance(hook, ModuleEpochHook) for hook in hooks):
        return
    for name, module in model.named_modules():
        if isinstance(module, TakesEpoch) and getattr(module, 'needs_epoch', True):
            raise BadInputError(
                f'custom_hooks has no ModuleEpochHook, which tells model.{name} '
                f"({type(module).__name__}) the epoch: expected dict(type='ModuleEpochHook') there"
            )
