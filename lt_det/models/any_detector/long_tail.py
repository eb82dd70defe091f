"""``model=dict(type='LongTail', detector=...)``: any detector of MMDetection, adjusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import nn

from ...adjustments import build_adjustment
from ...config_parts import with_types
from ...errors import BadInputError
from ...frequency_module import FrequencyModule
from ...protocols import TakesClassifier
from ...values import check_values
from ..dense_nms import use_topk_nms
from ..losses.head_losses import check_adjustable, check_loss, complete_losses
from ..quick_rpn_head import QuickRPNHead
from ..roi_heads import Float32RoIExtractor
from ..task_modules import QuickRandomSampler, VectorizedMaxIoUAssigner
from .adjusted_logits import AdjustedLogits
from .class_logits import ClassLogits, candidates, class_logits_of, find_class_logits

# layers that compute w x + b
_PLAIN = ('Linear', 'Conv2d', 'NonDynamicallyQuantizableLinear')


class DetectorStatistics(FrequencyModule):
    """Class statistics that a detector carries whether or not a rule reads them."""

    optional = True


@MODELS.register_module(name='LongTail')
def long_tail(
    detector: str | type,
    adjustment: dict | Sequence[dict] | None = None,
    classifiers: Sequence[str] | None = None,
    topk_nms: bool = True,
    quick_targets: bool = True,
    float32_rois: bool = True,
    **model: Any,
) -> nn.Module:
    """Build a detector of MMDetection whose class logits are adjusted for the class frequencies.

    It is an object of the detector's own class, with all its keys in config and checkpoint. Each
    head with class logits gets ``adjustment``, the detector ``statistics``; both come from
    ``ClassFrequencyHook`` and travel in checkpoints. A checkpoint of the detector itself loads.
    Losses with a number of classes get that of their head (:func:`.complete_losses`).

    Args:
        detector: Its type, as ``'RTMDet'``.
        adjustment: Config of one adjustment, or of several applied in turn. None: the detector as
            it is, with statistics.
        classifiers: Paths of the layers that compute class logits, where the head is not known
            (:data:`.class_logits.HEADS`).
        topk_nms: Whether dense heads look at candidates only until the best ``max_per_img`` are
            known, with the same detections (:func:`lt_det.models.dense_nms.use_topk_nms`), and each
            ``RPNHead`` of the config likewise, with the same proposals (:class:`.QuickRPNHead`).
        quick_targets: Whether each ``MaxIoUAssigner`` of the config is the one without a loop over
            objects, with the same results (:class:`.VectorizedMaxIoUAssigner`), and each
            ``RandomSampler`` the one that does not permute all boxes, which draws others from the
            same seed where there are more than 32,768 (:class:`.QuickRandomSampler`).
        float32_rois: Whether each ``SingleRoIExtractor`` of the config is the one that keeps the
            precision of RoIs in mixed precision, and in float32 gives the same results
            (:class:`.Float32RoIExtractor`).
        **model: All other keys of the detector's config.

    Raises:
        BadInputError: No class logits are known, they cannot be adjusted, or not by this rule, or
            the loss cannot follow; heads have different numbers of classes, or one has an
            adjustment of its own.
    """
    check_values(
        'model',
        topk_nms=(topk_nms, 'True or False'),
        quick_targets=(quick_targets, 'True or False'),
        float32_rois=(float32_rois, 'True or False'),
    )
    config = complete_losses(ConfigDict(model, type=detector))
    types: dict[type, type] = {}
    if quick_targets:
        types |= {MaxIoUAssigner: VectorizedMaxIoUAssigner, RandomSampler: QuickRandomSampler}
    if topk_nms:
        types[RPNHead] = QuickRPNHead
    if float32_rois:
        types[SingleRoIExtractor] = Float32RoIExtractor
    built = MODELS.build(with_types(config, types))
    logits = class_logits_of(built, classifiers) if classifiers else find_class_logits(built)
    if not logits:
        raise BadInputError(
            f"model.detector is '{detector}', of which no head is known; name the layers that "
            f'compute class logits in model.classifiers=[...]; candidates (with their channels): '
            f'{candidates(built)}'
        )
    numbers = {each.name: each.num_classes for each in logits}
    if len(set(numbers.values())) > 1:
        text = ', '.join(f'model.{name}.num_classes is {n}' for name, n in numbers.items())
        raise BadInputError(f'{text}; expected the same number in all heads')
    for each in logits:
        check_loss(each.head, f'model.{each.name}')
        if topk_nms:
            use_topk_nms(each.head)
    for each in logits if adjustment is not None else ():
        _adjust(each, adjustment)
    built.statistics = DetectorStatistics(logits[0].num_classes)
    built.register_load_state_dict_post_hook(_share_statistics)
    return built


def _adjust(logits: ClassLogits, cfg: dict | Sequence[dict]) -> None:
    """Build the adjustment of a head and let its layers pass through it."""
    key, head = f'model.{logits.name}', logits.head
    if getattr(head, 'adjustment', None) is not None:
        raise BadInputError(
            f'{key}.adjustment and model.adjustment are given; expected one of them'
        )
    adjustment = build_adjustment(
        cfg,
        num_classes=logits.num_classes,
        num_extra=logits.num_extra,
        activation=logits.activation,
    )
    for rule in adjustment.rules:
        check_rule(rule, logits, key)
    applies_it = hasattr(head, 'adjustment')  # as LongTailBBoxHead does
    head.adjustment = adjustment
    for layer in () if applies_it else logits.layers:
        layer.register_forward_hook(AdjustedLogits(adjustment, logits, layer))
    if logits.activation == 'softmax' and adjustment.scales_in_training:
        _start_small(head)


def check_rule(rule: nn.Module, logits: ClassLogits, key: str) -> None:
    """Refuse a rule that has no meaning for the class logits of a head.

    Args:
        rule: A single one.
        logits: Of the head.
        key: Of the head in the config, for messages.

    Raises:
        BadInputError: It shifts against a background that is not there, reads weights that are no
            plain ones, or would change in training what ranks proposals; or the loss takes none.
    """
    name = type(rule).__name__
    loss = getattr(logits.head, 'loss_cls', None)
    check_adjustable(loss, 'model.adjustment', f'{key}.loss_cls')
    custom = logits.num_extra and getattr(loss, 'custom_cls_channels', False)
    if custom and getattr(rule, 'needs_background', False):
        raise BadInputError(
            f"model.adjustment.type is '{name}', which shifts the foreground against the "
            f'background of one softmax, but {key}.loss_cls.type '
            f"'{type(loss).__name__}' has channels of its own for that"
        )
    kinds = {type(layer).__name__ for layer in logits.at_test}
    if isinstance(rule, TakesClassifier) and not kinds <= set(_PLAIN):
        raise BadInputError(
            f"model.adjustment.type is '{name}', which reads the norms of class weights, but "
            f'{key} classifies by {", ".join(sorted(kinds))}; expected a plain Linear or Conv2d'
        )
    encoder = getattr(logits.head, 'as_two_stage', False)
    branches = list(getattr(logits.head, 'cls_branches', ()))
    if encoder and rule.stage != 'test' and branches[-1] in logits.layers:
        raise BadInputError(
            f"model.adjustment.stage is '{rule.stage}', but the classifier of {key} also ranks "
            "the proposals of the encoder; expected stage='test', or with_box_refine=True, which "
            'gives the encoder a classifier of its own'
        )


def _start_small(head: nn.Module) -> None:
    """Start the predictor of a RoI head at the constant 0.001, as ``LongTailBBoxHead`` does."""
    start = dict(type='Normal', std=0.01, override=dict(name='fc_cls'))
    if start in (head.init_cfg if isinstance(head.init_cfg, list) else []):
        small = dict(type='Constant', val=0.001, override=dict(name='fc_cls'))
        head.init_cfg = [small if cfg == start else cfg for cfg in head.init_cfg]


def _share_statistics(detector: nn.Module, *_) -> None:
    """A checkpoint without this rule has the counts for it all the same."""
    statistics = detector.statistics
    for module in detector.modules() if statistics.has_frequency else ():
        if isinstance(module, FrequencyModule) and not module.has_frequency:
            module.set_class_frequency(statistics.frequency)
