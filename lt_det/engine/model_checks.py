"""What a model and its data sets have to agree on before a training begins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.hooks import DistSamplerSeedHook, Hook
from torch import nn

from ..dataset_parts import class_names, items_of
from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..frequency_module import FrequencyModule
from ..label_order import first_moved
from ..models.any_detector.class_logits import class_heads, num_object_classes
from ..protocols import TakesClassFrequency, TakesEpoch
from .module_epoch_hook import ModuleEpochHook


def check_num_classes(
    model: nn.Module, frequency: ClassFrequency, cfg: Mapping | None = None
) -> None:
    """Refuse a model with a part for another number of classes.

    Args:
        model: The model.
        frequency: Statistics of the training set.
        cfg: The config of the run, which says what parts are given a number of their own.

    Raises:
        BadInputError: Names the keys of all such parts, and the options that mend them.
    """
    wrong = {
        key: number
        for key, number in _class_counts(model, cfg or {}).items()
        if number != frequency.num_classes
    }
    if wrong:
        keys = ' and '.join(f'{key} is {value}' for key, value in wrong.items())
        options = ' '.join(f'{key}={frequency.num_classes}' for key in wrong)
        raise BadInputError(
            f'{keys}, the training set has {frequency.num_classes} classes; set it in the config, '
            f'e.g. --cfg-options {options}'
        )


def _class_counts(model: nn.Module, cfg: Mapping) -> dict[str, int]:
    """Numbers of classes of the parts that classify objects, by their keys in the config.

    In a detector they are its heads, its masks and what asks for statistics: a head for semantic
    segmentation has classes of its own. What a head hands its number on to has no key.
    """
    counts = {name: num_object_classes(head) for name, head in class_heads(model)}
    modules = dict(model.named_modules())
    is_detector = bool(counts)
    for name, module in modules.items():
        number = getattr(module, 'num_classes', None)
        # RPN heads have one class; -1 and None stand for "no classes" in backbones.
        if name.endswith('rpn_head') or not isinstance(number, int) or number <= 0:
            continue
        if getattr(module, 'class_agnostic', False) or name in counts:
            continue
        inside = any(name.startswith(f'{head}.') for head in counts if head)
        handed_on = isinstance(module, FrequencyModule) or (inside and not _is_mask_head(name))
        if handed_on and number in counts.values() and not _is_given(cfg, _key(name, module, cfg)):
            continue
        asks = isinstance(module, TakesClassFrequency)
        if not is_detector or _is_mask_head(name) or asks:
            counts[name] = number
    return {_key(name, modules[name], cfg): number for name, number in counts.items()}


def _key(name: str, module: nn.Module, cfg: Mapping) -> str:
    """The key that gives a part of the model its number of classes."""
    number = 'num_things_classes' if hasattr(module, 'num_things_classes') else 'num_classes'
    # MMEngine hands it to the model from the top of the config
    at_top = name == 'data_preprocessor' and _is_given(cfg, f'{name}.{number}')
    path = name.replace('loss_module', 'loss')  # of MMPretrain's heads
    return '.'.join(filter(None, ('' if at_top else 'model', path, number)))


def _is_given(cfg: Any, key: str) -> bool:
    """Whether a config has a key, of dicts and lists."""
    for part in key.split('.'):
        if isinstance(cfg, (list, tuple)) and part.isdigit() and int(part) < len(cfg):
            cfg = cfg[int(part)]
        elif hasattr(cfg, 'keys') and part in cfg:
            cfg = cfg[part]
        else:
            return False
    return True


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


def check_same_order(train: Any, test: Any) -> None:
    """Refuse a test set in which a class has another label than in training."""
    ours, theirs = (class_names(items_of(dataset).parts) for dataset in (train, test))
    label = None if ours is None or theirs is None else first_moved(theirs, ours)
    if label is None:
        return
    there = repr(ours[label]) if label < len(ours) else 'none'
    raise BadInputError(
        f'label {label} is {theirs[label]!r} in the test set and {there} in the training set; '
        'expected the same order of classes'
    )


def check_sampler_is_told(sampler: Any, hooks: Sequence[Hook]) -> None:
    """Refuse a sampler with a schedule of its own that would never begin."""
    if getattr(sampler, 'needs_epoch', False) and not any(
        isinstance(hook, DistSamplerSeedHook) for hook in hooks
    ):
        raise BadInputError(
            'default_hooks has no DistSamplerSeedHook, which tells train_dataloader.sampler '
            f"({type(sampler).__name__}) the epoch: expected sampler_seed=dict(type='"
            "DistSamplerSeedHook') there"
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
