"""Which losses of long-tailed classification go with which heads of MMDetection."""

from __future__ import annotations

from typing import Any

from mmdet.models.losses import EQLV2Loss, SeesawLoss
from mmdet.models.task_modules.assigners.match_cost import ClassificationCost
from mmdet.registry import MODELS
from mmengine.dist import get_world_size
from torch import nn

from ...errors import BadInputError
from .class_count import other_class_count, with_class_count
from .eqlv2 import LongTailEQLV2Loss
from .equalized_focal import EqualizedFocalLoss
from .sigmoid_head import IndependentScores, SigmoidClassification

_SIGMOIDS = "'FederatedLoss', 'LongTailEQLV2Loss' or 'EqualizedFocalLoss'"

# Heads to whose logits none of the losses applies, and why not.
_OTHER_TARGETS = {
    **dict.fromkeys(
        ('GFLHead', 'RTMDetHead', 'TOODHead', 'VFNetHead', 'YOLOXHead'),
        'trains towards the overlap of each box, not towards labels',
    ),
    **dict.fromkeys(
        ('CenterNetHead', 'CenterNetUpdateHead', 'CornerHead'),
        'trains towards heat maps, not towards labels',
    ),
    **dict.fromkeys(
        ('AutoAssignHead', 'FreeAnchorRetinaHead', 'SSDHead'), 'computes its class loss by itself'
    ),
    **dict.fromkeys(
        ('MaskFormerHead', 'SABLHead', 'YOLACTHead'),
        'predicts by one softmax over classes and background',
    ),
    **dict.fromkeys(
        ('ATSSVLFusionHead', 'GroundingDINOHead'), 'compares words, and has no channels of classes'
    ),
    'YOLOV3Head': 'trains towards one-hot vectors, of positives alone',
}
_EACH_ROW = {'FSAFHead', 'MultiInstanceBBoxHead', 'PAAHead', 'PISARetinaHead'}
_DINO = 'DINOHead'  # and DDQ's, which is one


def check_loss(head: nn.Module, key: str) -> None:
    """Refuse a long-tailed loss that the class logits of a head cannot follow.

    Seesaw, EQLv2, federated, equalized focal and Gumbel loss, ours and MMDetection's, are checked;
    all other losses pass, and heads that are not MMDetection's pass where the shapes fit.

    Args:
        head: A built head with ``loss_cls``.
        key: Its key in the config, such as ``'model.bbox_head'``.

    Raises:
        BadInputError: The loss is not defined for the head, has another number of classes, or is
            given so that the head takes it, or the matching, for a softmax.
    """
    loss = getattr(head, 'loss_cls', None)
    if not isinstance(loss, (IndependentScores, SeesawLoss, EQLV2Loss)):
        return
    _check_kinds(type(head), type(loss), key)
    if loss.num_classes != head.num_classes:
        raise other_class_count(loss.num_classes, head.num_classes, key, f'{key}.loss_cls')
    name, loss_name = type(head).__name__, type(loss).__name__
    if _in_box_head(type(head)):
        wanted = loss.get_cls_channels(loss.num_classes) if hasattr(loss, 'get_cls_channels') else 0
        given = getattr(getattr(head, 'fc_cls', None), 'out_features', wanted)
        if wanted and given != wanted:
            raise _refused(key, loss_name, name, f'has {given} channels, not {wanted}')
    elif not getattr(head, 'use_sigmoid_cls', True):
        raise BadInputError(
            f'{key}.loss_cls.use_sigmoid is not given, from which {name} learns that '
            f"'{loss_name}' is one of sigmoids; expected True"
        )
    own_labels = _DINO in {parent.__name__ for parent in type(head).__mro__}
    if getattr(head, 'as_two_stage', False) and not own_labels and hasattr(loss, 'pos_neg'):
        reason = 'trains proposals by it as if all were of class 0, which its gradients would count'
        raise _refused(key, loss_name, name, reason, "'FederatedLoss', or as_two_stage=False")
    costs = getattr(getattr(head, 'assigner', None), 'match_costs', ())
    if any(isinstance(cost, ClassificationCost) for cost in costs):
        raise BadInputError(
            f"{key}.train_cfg.assigner.match_costs has 'ClassificationCost', which is one of a "
            f"softmax, but {key}.loss_cls.type '{loss_name}' is one of sigmoids; expected "
            "'FocalLossCost'"
        )


def check_adjustable(loss: Any, rule: str, key: str) -> None:
    """Refuse rules where the scores of a loss are neither a softmax nor sigmoids.

    Args:
        loss: Of a built head.
        rule: Key of the adjustment, for messages.
        key: Key of the loss, for messages.

    Raises:
        BadInputError: The loss says that its scores are others.
    """
    if not getattr(loss, 'adjustable', True):
        raise BadInputError(
            f"{rule} is given, but {key}.type is '{type(loss).__name__}', whose scores are neither "
            'the softmax nor the sigmoids that rules are defined for; expected no adjustment, or '
            'another loss'
        )


def complete_losses(config: Any, key: str = 'model') -> Any:
    """A copy of a model config whose long-tailed losses say what their heads have to know.

    Each ``loss_cls`` gets the number of classes of the config that it stands in, and
    ``use_sigmoid=True`` where it is a loss of sigmoids: dense heads read that from the config.
    What can be told before building is refused here: some heads fail while they are built.

    Args:
        config: Of a model, or of a part of one.
        key: Its key, for messages.

    Raises:
        BadInputError: A loss is not defined for its head, or gives another number of classes.
    """
    if isinstance(config, (list, tuple)):
        parts = [complete_losses(part, f'{key}.{index}') for index, part in enumerate(config)]
        return type(config)(parts)
    if not isinstance(config, dict):
        return config
    completed = config.copy()
    for name, value in config.items():
        completed[name] = complete_losses(value, f'{key}.{name}')
    loss = completed.get('loss_cls')
    loss_kind = _kind(loss)
    if not issubclass(loss_kind, (IndependentScores, SeesawLoss, EQLV2Loss)):
        return completed
    _check_kinds(_kind(config), loss_kind, key)
    classes = completed.get('num_classes')
    if isinstance(classes, int):
        loss = with_class_count(loss, classes, key, f'{key}.loss_cls', MODELS)
    if issubclass(loss_kind, SigmoidClassification):
        loss.setdefault('use_sigmoid', True)
    completed['loss_cls'] = loss
    return completed


def _check_kinds(head: type, loss: type, key: str) -> None:
    """Refuse what can be told from the classes of a head and of its loss."""
    parents = {parent.__name__ for parent in head.__mro__}

    def refused(reason: str, expected: str) -> BadInputError:
        return _refused(key, loss.__name__, head.__name__, reason, expected)

    for name in sorted(_OTHER_TARGETS.keys() & parents):
        raise refused(_OTHER_TARGETS[name], 'the loss of its config')
    sigmoids = issubclass(loss, SigmoidClassification)
    if head is not object and not _in_box_head(head) and not sigmoids:
        missing = 'softmax over object and background' if issubclass(loss, SeesawLoss) else ''
        raise refused(
            f'has no channels for the {missing or "background"} that belongs to it',
            f"{_SIGMOIDS}, or 'CrossEntropyLoss' where it is one of a softmax",
        )
    if parents & _EACH_ROW and not issubclass(loss, EqualizedFocalLoss):
        raise refused('needs the loss of each row', "'EqualizedFocalLoss'")
    if _DINO in parents and issubclass(loss, LongTailEQLV2Loss) and get_world_size() > 1:
        raise refused(
            'does not ask for it equally often in all processes, over which it sums',
            "'EqualizedFocalLoss', or one process",
        )


def _refused(
    key: str, loss: str, head: str, reason: str, expected: str = "'LongTailBBoxHead'"
) -> BadInputError:
    return BadInputError(
        f"{key}.loss_cls.type is '{loss}', but {head} {reason}; expected {expected}"
    )


def _in_box_head(head: type) -> bool:
    """Whether a head asks the loss for its number of channels, with one for the background."""
    parents = {parent.__name__ for parent in head.__mro__}
    return 'BBoxHead' in parents and 'DIIHead' not in parents


def _kind(config: Any) -> type:
    """The class that a config builds, or ``object``."""
    kind = config.get('type') if isinstance(config, dict) else None
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) else object
