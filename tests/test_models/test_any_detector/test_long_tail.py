"""What ``LongTail`` refuses, classifiers named by hand, tau-norm, numbers of classes."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.model import BaseModule
from torch import nn

from lt_det.engine.model_checks import check_num_classes
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.any_detector import find_class_logits
from lt_det.models.any_detector.adjusted_logits import class_weights

from .zoo import FREQUENCY, C, adjusted, built, detections, losses, model_config

SHIFT = dict(type='PriorShift', stage='test')


class OwnHead(BaseModule):
    """A head that MMDetection does not have, with classifiers for 2 anchors."""

    def __init__(self, num_classes: int = C, train_cfg=None, test_cfg=None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.loss_cls = MODELS.build(dict(type='FocalLoss'))
        self.my_cls = nn.Conv2d(4, 2 * C, 1)
        self.my_box = nn.Conv2d(4, 8, 1)


@pytest.fixture
def own_detector():
    """Config of a detector of a family that is not known."""
    for kind in (OwnHead, type('OwnDetector', (SingleStageDetector,), {})):
        MODELS.register_module(name=kind.__name__, module=kind, force=True)
    backbone = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)
    yield dict(
        type='LongTail',
        detector='OwnDetector',
        adjustment=SHIFT,
        backbone=backbone,
        bbox_head=dict(type='OwnHead'),
    )
    for name in ('OwnHead', 'OwnDetector'):
        del MODELS._module_dict[name]


def test_unknown_family_lists_candidates_with_channels(own_detector):
    expected = r"'OwnDetector'.*model\.classifiers=\[.*candidates.*: bbox_head\.my_cls \(10\), bbox"
    with pytest.raises(BadInputError, match=expected):
        MODELS.build(own_detector)


def test_classifiers_named_by_hand_are_adjusted(own_detector):
    detector = MODELS.build(dict(own_detector, classifiers=['bbox_head.my_cls'])).eval()
    detector.statistics.set_class_frequency(FREQUENCY)
    head = detector.bbox_head
    head.adjustment.set_class_frequency(FREQUENCY)
    features = torch.randn(1, 4, 3, 3)
    plain = nn.functional.conv2d(features, head.my_cls.weight, head.my_cls.bias)
    shift = head.adjustment.shift.repeat(2).view(-1, 1, 1)
    assert torch.equal(head.my_cls(features), plain + shift)
    assert len(head.my_box(features)[0]) == 8


@pytest.mark.parametrize(
    ('classifiers', 'message'),
    [
        (['bbox_head.nothing'], r"'bbox_head.nothing', which is no layer.*bbox_head.my_cls \(10\)"),
        (
            ['bbox_head.my_box'],
            r'my_box has 8 channels, expected a multiple of 5 for num_classes=5',
        ),
        (['backbone.conv1'], r'none of the modules around it has num_classes'),
    ],
)
def test_wrong_classifiers_are_refused(own_detector, classifiers, message):
    with pytest.raises(BadInputError, match=message):
        MODELS.build(dict(own_detector, classifiers=classifiers))


@pytest.mark.parametrize(
    ('name', 'rule', 'changes', 'message'),
    [
        ('RetinaNet', dict(type='NorCal', gamma=0.5), {}, "'NorCal'.*'PriorShift', tau=0.5"),
        ('RetinaNet', dict(type='IIF', stage='test'), {}, "IIF is 'test'.*'both' or 'train'"),
        (
            'RetinaNet',
            None,
            dict(bbox_head=dict(loss_cls=dict(type='LongTailSeesawLoss'))),
            r'model\.bbox_head\.loss_cls\.type',
        ),
        (
            'Deformable DETR, two stages',
            dict(type='PriorShift'),
            dict(with_box_refine=False),
            "stage is 'train'.*encoder.*stage='test'",
        ),
        (
            'Faster R-CNN',
            SHIFT,
            dict(roi_head=dict(bbox_head=dict(loss_cls=dict(type='GumbelLoss')))),
            r"model\.adjustment is given, but .*bbox_head\.loss_cls\.type is 'GumbelLoss'",
        ),
        (
            'Faster R-CNN',
            dict(type='TauNorm'),
            dict(
                roi_head=dict(
                    bbox_head=dict(cls_predictor_cfg=dict(type='NormedLinear', temperature=20))
                )
            ),
            "'TauNorm'.*classifies by NormedLinear",
        ),
    ],
)
def test_what_cannot_be_adjusted_is_refused_when_built(name, rule, changes, message):
    with pytest.raises(BadInputError, match=message):
        adjusted(name, rule, **changes)


@pytest.mark.parametrize('stage', ['train', 'test'])
def test_a_head_that_adjusts_by_itself_does_it_once(stage):
    """LongTailBBoxHead in LongTail: as the stock head in it, with the same weights."""
    rule = dict(type='PriorShift', stage=stage)
    stock = adjusted('Faster R-CNN', rule)
    config = model_config('Faster R-CNN', type='LongTail', detector='FasterRCNN', adjustment=rule)
    config.roi_head.bbox_head.update(type='LongTailBBoxHead', num_shared_fcs=2)
    ours = MODELS.build(config)
    ours.load_state_dict(stock.state_dict())
    torch.testing.assert_close(losses(ours, 'Faster R-CNN'), losses(stock, 'Faster R-CNN'))
    pairs = zip(*(detections(model, 'Faster R-CNN') for model in (ours, stock)), strict=True)
    for result, expected in pairs:
        torch.testing.assert_close(result.scores, expected.scores)


def test_two_adjustments_of_a_head_are_refused():
    register_all_modules(init_default_scope=True)
    config = model_config('Faster R-CNN', type='LongTail', detector='FasterRCNN', adjustment=SHIFT)
    config.roi_head.bbox_head.update(type='LongTailBBoxHead', num_shared_fcs=2, adjustment=SHIFT)
    with pytest.raises(BadInputError, match='adjustment and model.adjustment are given'):
        MODELS.build(config)


@pytest.mark.parametrize('loss', ['EqualizedFocalLoss', 'FederatedLoss', 'LongTailEQLV2Loss'])
@pytest.mark.parametrize('name', ['RetinaNet', 'FCOS', 'DINO'])
def test_losses_of_sigmoids_train_dense_and_query_heads(name, loss):
    detector = adjusted(name, SHIFT, bbox_head=dict(loss_cls=dict(type=loss)))
    computed = losses(detector, name)
    assert all(loss.isfinite() for loss in computed.values())
    sum(loss for key, loss in computed.items() if 'loss' in key).backward()
    (logits,) = find_class_logits(detector)
    assert logits.activation == 'sigmoid' and logits.num_extra == 0
    assert all(layer.weight.grad.abs().max() > 0 for layer in logits.layers)
    assert all(len(each) for each in detections(detector, name))


@pytest.mark.parametrize('kind', ['GroundingDINOHead', 'YOLOV3Head'])
def test_heads_without_logits_of_classes_are_refused(kind):
    detector = nn.Module()
    detector.bbox_head = type(kind, (nn.Module,), {})()
    with pytest.raises(BadInputError, match=rf'model\.bbox_head\.type is {kind}: '):
        find_class_logits(detector)


def test_heads_that_inherit_from_known_ones_are_known():
    """As Co-DETR's, which has dense and RoI heads beside its queries, for training alone."""
    detector = built('DINO')
    kind = type(detector.bbox_head)
    detector.query_head = detector.bbox_head
    detector.query_head.__class__ = type('CoDINOHead', (kind,), {})
    roi_head = nn.Module()
    roi_head.bbox_head = built('Faster R-CNN').roi_head.bbox_head
    detector.roi_head = nn.ModuleList([roi_head])
    detector.bbox_head = nn.ModuleList([built('ATSS').bbox_head])
    found = {logits.name: logits for logits in find_class_logits(detector)}
    assert found.keys() == {'query_head', 'roi_head.0.bbox_head', 'bbox_head.0'}
    assert found['roi_head.0.bbox_head'].activation == 'softmax'
    assert found['bbox_head.0'].activation == 'sigmoid'
    assert len(found['query_head'].layers) == 2 and len(found['query_head'].at_test) == 1


def test_proposal_networks_are_left_alone():
    (logits,) = find_class_logits(built('Faster R-CNN'))
    assert logits.name == 'roi_head.bbox_head'


def test_weights_of_a_class_are_those_of_all_its_anchors_and_levels():
    layers = tuple(nn.Conv2d(3, 2 * C, kernel) for kernel in (1, 3))
    weight, bias = class_weights(layers, C)
    for label in range(C):
        rows = [layer.weight[a * C + label] for layer in layers for a in range(2)]
        mean_square = sum(row.square().sum() for row in rows) / 4
        torch.testing.assert_close(weight[label].norm(), mean_square.sqrt())
        biases = [layer.bias[a * C + label] for layer in layers for a in range(2)]
        torch.testing.assert_close(bias[label], torch.stack(biases).mean())


@pytest.mark.parametrize('name', ['RetinaNet', 'DINO', 'Mask2Former'])
def test_tau_norm_reads_the_weights_that_are_there_when_it_predicts(name):
    detector = adjusted(name, dict(type='TauNorm', tau=1.0))
    before = detections(detector, name)[0].scores
    (logits,) = find_class_logits(detector)
    with torch.no_grad():
        for layer in logits.at_test:
            # as fused optimizers and averages of weights do it, unseen by a version of the tensor
            layer.weight.data.view(
                -1, logits.num_classes + logits.num_extra, *layer.weight.shape[1:]
            )[:, : logits.num_classes].mul_(4)
    # of weights four times as large the directions are the same
    torch.testing.assert_close(detections(detector, name)[0].scores, before, rtol=1e-4, atol=1e-6)


def test_iif_starts_small_in_roi_heads_alone():
    assert adjusted('Faster R-CNN', dict(type='IIF')).roi_head.bbox_head.fc_cls.weight.unique() == (
        torch.tensor(0.001)
    )
    assert adjusted('RetinaNet', dict(type='IIF')).bbox_head.retina_cls.weight.std() > 0


def test_numbers_of_classes_are_checked_in_heads_alone():
    other = ClassFrequency([1] * 7)
    for name, parts in (
        ('RetinaNet', ['bbox_head']),
        ('Mask R-CNN', ['roi_head.bbox_head', 'roi_head.mask_head']),
        ('Mask2Former', ['panoptic_head']),
    ):
        detector = built(name)
        detector.semantic_head = nn.Module()
        detector.semantic_head.num_classes = 183
        check_num_classes(detector, FREQUENCY)
        with pytest.raises(BadInputError, match='the training set has 7 classes') as error:
            check_num_classes(detector, other)
        for part in parts:
            key = 'num_things_classes' if part == 'panoptic_head' else 'num_classes'
            assert f'model.{part}.{key} is 5' in str(error.value)
        assert '183' not in str(error.value)


def test_things_of_a_panoptic_head_are_its_classes():
    changes = dict(
        panoptic_head=dict(num_stuff_classes=3, loss_cls=dict(class_weight=[1.0] * 8 + [0.1])),
        panoptic_fusion_head=dict(num_stuff_classes=3),
    )
    detector = adjusted('Mask2Former', SHIFT, **changes)
    shift = detector.panoptic_head.adjustment.shift
    assert len(shift) == 9 and shift[:5].ne(0).all() and not shift[5:].any()
    check_num_classes(detector, FREQUENCY)


def test_every_max_iou_assigner_is_the_one_without_a_loop():
    def kinds(name: str, **changes) -> list[str]:
        config = model_config(name, type='LongTail', **changes)
        detector = MODELS.build(config)
        roi_head = getattr(detector, 'roi_head', None)
        first = getattr(detector, 'rpn_head', getattr(detector, 'bbox_head', None))
        later = getattr(roi_head, 'bbox_assigner', [])
        assigners = [first.assigner, *(later if isinstance(later, list) else [later])]
        return [type(assigner).__name__ for assigner in assigners]

    register_all_modules(init_default_scope=True)
    ours, stock = 'VectorizedMaxIoUAssigner', 'MaxIoUAssigner'
    assert kinds('RetinaNet', detector='RetinaNet') == [ours]
    assert kinds('Cascade R-CNN', detector='CascadeRCNN') == 4 * [ours]
    assert kinds('Cascade R-CNN', detector='CascadeRCNN', quick_targets=False) == 4 * [stock]
    assert kinds('DINO', detector='DINO') == ['HungarianAssigner']


@pytest.mark.parametrize('wanted', [True, False])
def test_rois_keep_their_precision(wanted):
    register_all_modules(init_default_scope=True)
    kind = 'Float32RoIExtractor' if wanted else 'SingleRoIExtractor'
    for name, detector in (('Cascade R-CNN', 'CascadeRCNN'), ('Mask R-CNN', 'MaskRCNN')):
        config = model_config(name, type='LongTail', detector=detector, float32_rois=wanted)
        head = MODELS.build(config).roi_head
        extractors = head.bbox_roi_extractor
        extractors = [*extractors] if isinstance(extractors, nn.ModuleList) else [extractors]
        if head.with_mask:
            extractors.append(head.mask_roi_extractor)
        assert {type(extractor).__name__ for extractor in extractors} == {kind}


def test_config_is_of_the_stock_detector_but_for_its_type():
    register_all_modules(init_default_scope=True)
    config = model_config('RetinaNet', type='LongTail', detector='RetinaNet')
    before = config.to_dict()
    assert type(MODELS.build(config)).__name__ == 'RetinaNet'
    assert config.to_dict() == before


@pytest.mark.parametrize('name', ['RetinaNet', 'RTMDet', 'DINO', 'Mask2Former', 'Cascade R-CNN'])
def test_half_precision_adjusts_in_float32(name):
    detector = adjusted(name, [dict(type='IIF', link='smooth'), dict(type='PriorShift')])
    adjusted_types = set()
    for logits in find_class_logits(detector):
        for layer in logits.layers:
            layer.register_forward_hook(lambda *args: adjusted_types.add(args[-1].dtype))
    with torch.autocast('cpu', torch.bfloat16):
        computed = losses(detector, name)
        assert all(len(each) for each in detections(detector, name))
    assert all(loss.isfinite() for loss in computed.values())
    sum(loss for key, loss in computed.items() if 'loss' in key).backward()
    assert adjusted_types == {torch.float32}
