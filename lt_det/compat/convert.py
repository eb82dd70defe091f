"""Checkpoints of IIF's code on MMDetection 2.x, under the names of this package."""

from __future__ import annotations

import re

from torch import Tensor

from ..adjustments import build_adjustment
from ..errors import BadInputError
from ..frequency import ClassFrequency

# the ends of the keys that differ; FASA's feature_std holds variances
FASA_NAMES = {
    'feature_mean': 'fasa.mean',
    'feature_std': 'fasa.variance',
    'feature_used': 'fasa.seen',
    'prob_list': 'fasa.probability',
}
LINKS = {'prob': 'rel'}  # the only one of their names that is another here


def convert_checkpoint(
    checkpoint: dict, frequency: ClassFrequency | None = None, variant: str | None = None
) -> dict:
    """A checkpoint for this package's heads from one of MMDetection 2.x.

    Layers have kept their names since. FASA's statistics get those of :class:`FASA`. IIF's weights
    are in no checkpoint of that code; ``frequency`` puts them, and the counts, into this one.

    Args:
        checkpoint: With ``state_dict`` and ``meta``, as MMCV saved it.
        frequency: Statistics of the training set. Without, ClassFrequencyHook reads them.
        variant: Name of the rule, such as ``'base10_obj'``. Default: that in the config inside the
            checkpoint.

    Returns:
        ``state_dict`` and ``meta``; optimiser and log are left out.

    Raises:
        BadInputError: It is no checkpoint of a detector with a class predictor, it is one of
            MMDetection 1.x, its class names are not those of the statistics or of another number
            than its predictor has, or the rule is not known.
    """
    state = checkpoint.get('state_dict') if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BadInputError(
            "not a checkpoint of MMCV: expected a dict with 'state_dict', a dict of tensors"
        )
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    predictors = [key for key in state if key.endswith('bbox_head.fc_cls.weight')]
    predictors += [key for key in state if re.search(r'bbox_head\.\d+\.fc_cls\.weight$', key)]
    if not predictors:
        raise BadInputError(
            'the checkpoint has no roi_head.bbox_head.fc_cls.weight, so it is no Mask R-CNN, '
            f'Cascade Mask R-CNN or HTC; found {sorted(state)[:3]}'
        )
    meta = checkpoint.get('meta') or {}
    if not isinstance(meta, dict):
        raise BadInputError(f"the checkpoint has {meta!r} as 'meta', expected a dict")
    _refuse_version_1(predictors, meta)
    names = _class_names(meta, frequency, [len(state[key]) for key in predictors])
    converted = {}
    for key, value in state.items():
        head, _, name = key.rpartition('.')
        if name in FASA_NAMES:
            value = value.bool() if name == 'feature_used' else value
            key = f'{head}.{FASA_NAMES[name]}'
        converted[key] = value
    if frequency is not None:
        rule = _rule(variant or _variant_of(meta))
        for key in predictors:
            classes = len(state[key]) - 1
            if classes != frequency.num_classes:
                raise BadInputError(
                    f'the checkpoint has {classes} classes, the annotation file has '
                    f'{frequency.num_classes}'
                )
            adjustment = build_adjustment(rule, frequency).state_dict()
            head = key.removesuffix('fc_cls.weight')
            converted.update({f'{head}adjustment.{k}': v for k, v in adjustment.items()})
    return dict(
        state_dict=converted,
        meta=dict(dataset_meta=dict(classes=names)) if names else {},
    )


def _refuse_version_1(predictors: list[str], meta: dict) -> None:
    """Heads outside of ``roi_head`` are those of 1.x, whose class 0 is the background."""
    if predictors[0].startswith('bbox_head.'):
        version = meta.get('mmdet_version')
        raise BadInputError(
            f'the checkpoint is of MMDetection 1.x (it has {predictors[0]}, not roi_head.'
            f'{predictors[0]}{f"; mmdet_version {version}" if version else ""}), where the '
            'background is class 0; convert it to 2.x first, by upgrade_model_version.py of '
            'MMDetection 2'
        )


def _class_names(
    meta: dict, frequency: ClassFrequency | None, rows: list[int]
) -> tuple[str, ...] | None:
    """Class names in a checkpoint, checked against its predictors and the annotation file."""
    names = meta.get('CLASSES')
    if not names:
        return None
    if not isinstance(names, (str, list, tuple)):
        raise BadInputError(f'the checkpoint has {names!r} as CLASSES, expected class names')
    names = (names,) if isinstance(names, str) else tuple(map(str, names))
    # that of Seesaw has one for the object beside the background
    extra = 2 if 'SeesawLoss' in str(meta.get('config')) else 1
    for number in rows:
        if number != len(names) + extra:
            raise BadInputError(
                f'the checkpoint names {len(names)} classes in CLASSES, but its class predictor '
                f'has {number} rows, expected {len(names) + extra}'
            )
    wanted = None if frequency is None else frequency.class_names
    if wanted is None or len(wanted) != len(names):
        return names
    for label, (ours, theirs) in enumerate(zip(wanted, names)):
        if _plain(ours) != _plain(theirs):
            same = sorted(map(_plain, wanted)) == sorted(map(_plain, names))
            raise BadInputError(
                f'class {label} is {theirs!r} in the checkpoint and {ours!r} in the annotation '
                f'file{"; the names are the same in another order" if same else ""}; expected the '
                'annotation file that the checkpoint was trained on, with its categories by id'
            )
    return names


def _plain(name: str) -> str:
    return name.replace('_', ' ').casefold()


def _variant_of(meta: dict) -> str:
    variants = set(re.findall(r"variant\s*=\s*'(\w+)'", meta.get('config') or ''))
    if len(variants) != 1:
        raise BadInputError(
            f'the config inside the checkpoint names {sorted(variants) or "no"} IIF rules, '
            "expected one; give it by --variant, e.g. 'raw' or 'base10_obj'"
        )
    return variants.pop()


def _rule(variant: str) -> dict:
    link = variant.removesuffix('_obj')
    count = 'image' if link == variant else 'instance'
    return dict(type='IIF', link=LINKS.get(link, link), count=count)
