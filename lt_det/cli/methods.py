"""The methods that ``lt_det init`` offers: what each changes in a detector with RoI heads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Method:
    """One way to treat rare classes.

    Args:
        text: What it does, in a line.
        head: Keys of the box head (``num_classes`` is filled into losses that need it).
        repeat: Whether images of rare classes are repeated (repeat factor sampling).
        roi_head: Type of the RoI head, where it is not the model's own.
        trains: False for a rule at test alone, which a trained softmax detector can be given.
    """

    text: str
    head: dict = field(default_factory=dict)
    repeat: bool = False
    roi_head: str | None = None
    trains: bool = True


_IIF = dict(adjustment=dict(type='IIF', link='smooth'))

METHODS: dict[str, Method] = {
    'softmax': Method('cross-entropy, the baseline'),
    'rfs': Method('images of rare classes are repeated', repeat=True),
    'iif': Method('logits times a weight that grows with rarity, in training and at test', _IIF),
    'iif_rfs': Method('iif and rfs', _IIF, repeat=True),
    'balanced_softmax': Method(
        'the prior of the classes is added to the logits in training',
        dict(adjustment=dict(type='PriorShift', stage='train')),
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
        dict(adjustment=dict(type='NorCal', gamma=0.5)),
        trains=False,
    ),
    'fracal': Method(
        'softmax; at test, as norcal, and by where the boxes of a class lie',
        dict(adjustment=dict(type='FRACAL', lam=2.0)),
        trains=False,
    ),
    'logit_adjustment': Method(
        'softmax; at test, the prior of the classes is subtracted',
        dict(adjustment=dict(type='PriorShift', stage='test')),
        trains=False,
    ),
}
