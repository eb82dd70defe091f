"""The methods that ``lt_det init`` offers, by what makes scores of a detector's class logits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Method:
    """One way to treat rare classes.

    Args:
        text: What it does, in a line.
        head: Keys of the box head (``num_classes`` is filled into losses that need it), or with
            ``adjustment`` of the model where ``LongTail`` adjusts it.
        repeat: Whether images of rare classes are repeated (repeat factor sampling).
        paste: Whether objects of rare classes are pasted into other images, which needs masks.
        roi_head: Type of the RoI head, where it is not the model's own.
        trains: False for a rule at test alone, which a trained baseline can be given.
    """

    text: str
    head: dict = field(default_factory=dict)
    repeat: bool = False
    paste: bool = False
    roi_head: str | None = None
    trains: bool = True


_IIF = dict(adjustment=dict(type='IIF', link='smooth'))
_PRIOR = dict(adjustment=dict(type='PriorShift', stage='train'))
_PRIOR_AT_TEST = dict(adjustment=dict(type='PriorShift', stage='test'))
_NORCAL = dict(adjustment=dict(type='NorCal', gamma=0.5))
_FRACAL = dict(adjustment=dict(type='FRACAL', lam=2.0))

# one softmax over the classes and background, in RoI heads
SOFTMAX: dict[str, Method] = {
    'softmax': Method('cross-entropy, the baseline'),
    'rfs': Method('images of rare classes are repeated', repeat=True),
    'copy_paste': Method(
        'objects of rare classes are pasted into other images, by their masks', paste=True
    ),
    'iif': Method('logits times a weight that grows with rarity, in training and at test', _IIF),
    'iif_rfs': Method('iif and rfs', _IIF, repeat=True),
    'iif_copy_paste': Method('iif and copy_paste', _IIF, paste=True),
    'balanced_softmax': Method(
        'the prior of the classes is added to the logits in training',
        _PRIOR,
    ),
    'seesaw': Method(
        'the loss spares rare classes where frequent ones are right',
        dict(
            cls_predictor_cfg=dict(type='NormedLinear', temperature=20),
            loss_cls=dict(type='LongTailSeesawLoss', p=0.8, q=2.0),
        ),
    ),
    'eqlv2': Method(
        'gradients of each class are balanced', dict(loss_cls=dict(type='LongTailEQLV2Loss'))
    ),
    'gol': Method(
        'low scores learn more of positives and less of negatives, by a distribution of Gumbel',
        dict(loss_cls=dict(type='GumbelLoss')),
    ),
    'ldam': Method(
        'cosine classifier, with a larger margin for rarer classes',
        dict(
            cls_predictor_cfg=dict(type='CosineLinear', scale=20.0),
            loss_cls=dict(type='LDAMLoss', max_margin=0.5, scale=20.0),
        ),
    ),
    'cosine': Method(
        'cosine classifier', dict(cls_predictor_cfg=dict(type='CosineLinear', scale=20.0))
    ),
    'camc': Method(
        'RoI features calibrated by class activation, cosine classifier',
        dict(cls_predictor_cfg=dict(type='CosineLinear', scale=20.0)),
        roi_head='CAMCalibratedRoIHead',
    ),
    'norcal': Method(
        'softmax; at test, scores of frequent classes are lowered',
        _NORCAL,
        trains=False,
    ),
    'fracal': Method(
        'at test, scores are changed by frequency, and by where the boxes of a class lie',
        _FRACAL,
        trains=False,
    ),
    'logit_adjustment': Method(
        'at test, the prior of the classes is subtracted',
        _PRIOR_AT_TEST,
        trains=False,
    ),
}
# the same in the queries of Mask2Former, whose loss and classifier stay as they are
QUERY_SOFTMAX = {
    name: method
    for name, method in SOFTMAX.items()
    if method.roi_head is None and not method.paste and method.head.keys() <= {'adjustment'}
}
# half the prior: the whole one costs frequent classes more than rare ones gain, in the pilots of
# RetinaNet, RTMDet-Ins and DINO (benchmarks/results/any_detector.md)
_HALF = dict(adjustment=dict(type='PriorShift', tau=0.5, stage='train'))
_HALF_AT_TEST = dict(adjustment=dict(type='PriorShift', tau=0.5, stage='test'))
# independent sigmoids that are trained towards the overlap of boxes
QUALITY: dict[str, Method] = {
    'sigmoid': Method('the loss of the model, the baseline'),
    'rfs': SOFTMAX['rfs'],
    'iif': SOFTMAX['iif'],
    'iif_rfs': SOFTMAX['iif_rfs'],
    'prior_shift': Method('the prior of each class is added to its logit in training', _HALF),
    'prior_shift_rfs': Method('prior_shift and rfs', _HALF, repeat=True),
    'fracal': SOFTMAX['fracal'],
    'logit_adjustment': Method(
        'at test, the prior of the classes is subtracted', _HALF_AT_TEST, trains=False
    ),
}
# independent sigmoids that are trained towards labels
SIGMOID: dict[str, Method] = {
    **QUALITY,
    'efl': Method(
        'focal loss that looks harder at classes whose negatives outweigh their positives',
        dict(loss_cls=dict(type='EqualizedFocalLoss')),
    ),
    'federated': Method(
        'each step takes negatives of some classes alone, rare ones more seldom',
        dict(loss_cls=dict(type='FederatedLoss')),
    ),
}
METHODS: dict[str, Method] = {**SOFTMAX, **SIGMOID, **SOFTMAX}
