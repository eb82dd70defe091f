"""What is compared: five families of detectors, and the rules that each can have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A detector of the comparison.

    Attributes:
        config: Its baseline.
        epochs: Those of the training on other glyphs.
        classifier: Which keys of that are not taken over: a pattern.
        metric: The IoU type that counts.
        rules: Names of RULES to try in training, and at test alone.
    """

    config: str
    epochs: int
    classifier: str
    metric: str
    rules: tuple[str, ...]

    def candidates(self, at_test: bool) -> list[str]:
        return [name for name in self.rules if name.endswith('_test') == at_test]


# strengths are those of the papers; where these try a range, two of it
RULES: dict[str, dict] = {
    'iif_smooth': dict(adjustment=dict(type='IIF', link='smooth')),
    'prior_shift_0.5': dict(adjustment=dict(type='PriorShift', tau=0.5)),
    'prior_shift_1': dict(adjustment=dict(type='PriorShift', tau=1.0)),
    'efl': dict(loss_cls=dict(type='EqualizedFocalLoss')),
    'prior_shift_0.5_test': dict(adjustment=dict(type='PriorShift', tau=0.5, stage='test')),
    'prior_shift_1_test': dict(adjustment=dict(type='PriorShift', tau=1.0, stage='test')),
    'norcal_0.5_test': dict(adjustment=dict(type='NorCal', gamma=0.5)),
    'fracal_test': dict(adjustment=dict(type='FRACAL', lam=2.0)),
    'tau_norm_test': dict(adjustment=dict(type='TauNorm', tau=0.5)),
}
TRAINED = ('iif_smooth', 'prior_shift_0.5', 'prior_shift_1')
AT_TEST = ('prior_shift_0.5_test', 'prior_shift_1_test', 'fracal_test', 'tau_norm_test')
FAMILIES = {
    'RetinaNet': Family(
        'retinanet_r18_sigmoid_demo',
        6,
        r'\.retina_cls\.',
        'bbox',
        (*TRAINED, 'efl', *AT_TEST),
    ),
    'RTMDet-Ins': Family(
        'rtmdet_ins_r18_sigmoid_demo', 3, r'\.rtm_cls\.', 'bbox', (*TRAINED, *AT_TEST)
    ),
    'DINO': Family(
        'dino_r18_sigmoid_demo',
        5,
        r'\.cls_branches\.|\.label_embedding\.',
        'bbox',
        (*TRAINED, *AT_TEST),
    ),
    'Mask2Former': Family(
        'mask2former_r18_softmax_demo',
        5,
        r'\.cls_embed\.',
        'segm',
        (*TRAINED, 'norcal_0.5_test', *AT_TEST),
    ),
    'Cascade R-CNN': Family(
        'cascade_rcnn_r18_softmax_demo',
        3,
        r'\.fc_cls\.',
        'bbox',
        (*TRAINED, 'norcal_0.5_test', *AT_TEST),
    ),
}
