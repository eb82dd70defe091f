"""The class-indexed mask heads against the stock heads: losses, gradients, masks, detectors."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from common.allocations import peak_mb
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from lt_det.datasets import CompactMasks
from lt_det.errors import BadInputError
from lt_det.models.layers import ClassIndexedConv2d, NormedConv2d

from .two_detectors import assert_alike

CONFIGS = Path(__file__).parents[2] / 'configs'
CLASSES = 7
TOLERANCE = {torch.float32: dict(rtol=1e-5, atol=1e-5), torch.float64: dict(rtol=0, atol=1e-10)}
CONV = dict(type='Conv')
NORMED = dict(type='NormedConv2d', temperature=8, power=1.5)
LEARNED = dict(type='NormedConv2d', temperature=8, learn_temperature=True)
KERNEL = dict(type='NormedConv2d', norm_over_kernel=True)
TYPE = 'ClassIndexedMaskHead'
HEAD = dict(num_convs=1, in_channels=6, conv_out_channels=6, num_classes=CLASSES)


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)


def pair(predictor=CONV, dtype=torch.float32, **kwargs) -> tuple[nn.Module, nn.Module]:
    """A stock head and ours with the same parameters."""
    torch.manual_seed(0)
    kwargs = {**HEAD, 'predictor_cfg': predictor, **kwargs}
    ours = MODELS.build({**kwargs, 'type': TYPE})
    kwargs.pop('rois_at_once', None)
    stock = MODELS.build({**kwargs, 'type': 'FCNMaskHead'})
    stock.init_weights()
    nn.init.normal_(stock.conv_logits.bias)
    ours.load_state_dict(stock.state_dict())
    return stock.to(dtype), ours.to(dtype)


def targets(labels: list[list[int]], dtype: torch.dtype) -> dict:
    """What a RoI head passes to loss_and_target, one list of labels for each image."""
    rng = np.random.default_rng(0)
    sampled, truth = [], []
    for of_image in labels:
        corner = torch.from_numpy(rng.uniform(0, 20, (len(of_image), 2)))
        sampled.append(
            SimpleNamespace(
                pos_gt_labels=torch.tensor(of_image, dtype=torch.long),
                pos_priors=torch.cat([corner, corner + 15], 1).to(dtype),
                pos_assigned_gt_inds=torch.zeros(len(of_image), dtype=torch.long),
            )
        )
        mask = rng.integers(0, 2, (1, 40, 40), dtype=np.uint8)
        truth.append(SimpleNamespace(masks=BitmapMasks(mask, 40, 40)))
    return dict(
        sampling_results=sampled,
        batch_gt_instances=truth,
        rcnn_train_cfg=ConfigDict(mask_size=28),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    'predictor',
    [CONV, NORMED, LEARNED, KERNEL],
    ids=['conv', 'normed', 'learned_temperature', 'norm_over_kernel'],
)
@pytest.mark.parametrize('labels', [[[3, 0, 3], [6]], [[], [2]], [[], []]], ids=str)
def test_loss_and_every_gradient_equal_stock(predictor, labels, dtype):
    stock, ours = pair(predictor, dtype)
    number = sum(map(len, labels))
    x = torch.randn(number, 6, 14, 14, dtype=dtype)
    given = targets(labels, dtype)
    found = []
    for head in (stock, ours):
        features = x.clone().requires_grad_()
        result = head.loss_and_target(head(features), **given)
        loss = result['loss_mask']['loss_mask']
        loss.sum().backward()
        gradients = {name: p.grad for name, p in head.named_parameters()}
        found.append((loss, result['mask_targets'], features.grad, gradients))
    assert set(found[0][3]) == set(found[1][3])
    torch.testing.assert_close(found[1], found[0], **TOLERANCE[dtype])
    # for zero positives as well: DDP waits for gradients of all parameters
    assert all(gradient is not None for gradient in found[1][3].values())


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('predictor', [CONV, LEARNED])
@pytest.mark.parametrize('norm', [None, dict(type='GN', num_groups=2)])
def test_parts_computed_anew_change_neither_loss_nor_gradients(predictor, norm, dtype):
    _, ours = pair(predictor, norm_cfg=norm)
    given = targets([[3, 0, 3, 5], [], [6, 1, 0]], torch.float32)
    x, found = torch.randn(7, 6, 14, 14), []
    for at_once in (None, 7, 3, 1):
        ours.rois_at_once = at_once
        features = x.clone().requires_grad_()
        ours.zero_grad()
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            loss = ours.loss_and_target(ours(features), **given)['loss_mask']['loss_mask']
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in ours.named_parameters()}
        found.append((loss.detach(), features.grad, gradients))
    tolerance = TOLERANCE[dtype] if dtype in TOLERANCE else dict(rtol=0.05, atol=1e-3)
    for parts in found[1:]:
        torch.testing.assert_close(parts, found[0], **tolerance)


def test_parts_need_less_memory_and_are_not_made_where_they_would_differ():
    kwargs = dict(rois_at_once=4)
    _, ours = pair(**kwargs)
    assert ours.rois_at_once == 4
    features = torch.randn(64, 6, 14, 14, requires_grad=True)
    labels = torch.arange(64) % CLASSES
    peaks = []
    for at_once in (None, 4):
        ours.rois_at_once = at_once
        peaks.append(peak_mb(lambda: ours(features).at(labels).sum().backward()))
    assert peaks[1] < peaks[0] / 4
    expected = ours.eval()(features)
    assert type(expected) is type(ours.train()(features[:4])) is not type(ours(features))
    with torch.no_grad():
        assert type(ours(features)) is type(expected)
    for norm in (dict(type='BN'), dict(type='IN', track_running_stats=True)):
        _, learns = pair(norm_cfg=norm, **kwargs)
        assert learns._all_at_once()
        learns.convs.eval()
        assert not learns._all_at_once()
    assert pair(class_agnostic=True, **kwargs)[1](features).shape == (64, 1, 28, 28)


@pytest.mark.parametrize('value', [0, -1, 2.5, True, '512'])
def test_rois_at_once_has_to_be_a_positive_integer(value):
    message = f'mask_head.rois_at_once is {value!r}, expected a whole number >= 1, or None'
    with pytest.raises(BadInputError, match=re.escape(message)):
        pair(rois_at_once=value)


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('without', [[[1], []], [[0, 1, 2], []], [[0, 1, 2], [0]]], ids=str)
def test_objects_without_a_mask_do_not_count_in_the_loss(class_agnostic, without):
    """It and its gradients are those of the other RoIs alone."""
    _, ours = pair(class_agnostic=class_agnostic)
    given = targets([[3, 0, 3], [6]], torch.float32)
    kept = []
    for sampled, truth, objects in zip(*list(given.values())[:2], without):
        number = len(sampled.pos_gt_labels)
        sampled.pos_assigned_gt_inds = torch.arange(number)
        masks = np.random.default_rng(1).integers(0, 2, (number, 40, 40), np.uint8)
        truth.masks = CompactMasks(masks, 40, 40, np.isin(np.arange(number), objects))
        kept += [row not in objects for row in range(number)]
    alone = deepcopy(given)
    for sampled, truth in zip(*list(alone.values())[:2]):
        rows = torch.from_numpy(~truth.masks.maskless)
        for name in ('pos_priors', 'pos_gt_labels', 'pos_assigned_gt_inds'):
            setattr(sampled, name, getattr(sampled, name)[rows])
        truth.masks = BitmapMasks(truth.masks.masks, 40, 40)
    kept = torch.tensor(kept)
    x = torch.randn(len(kept), 6, 14, 14)
    found = []
    for features, data in ((x, given), (x[kept], alone)):
        features = features.clone().requires_grad_()
        ours.zero_grad()
        result = ours.loss_and_target(ours(features), **data)
        result['loss_mask']['loss_mask'].sum().backward()
        gradients = {name: p.grad.clone() for name, p in ours.named_parameters()}
        found.append((result['loss_mask'], result['mask_targets'], gradients, features.grad))
    torch.testing.assert_close(found[0][:3], found[1][:3])
    torch.testing.assert_close(found[0][3][kept], found[1][3])
    assert not found[0][3][~kept].any()


@pytest.mark.parametrize('kind', ['StandardRoIHead', 'HybridTaskCascadeRoIHead'])
def test_detectors_learn_the_boxes_of_objects_without_a_mask(kind):
    model = detector(kind, True)
    packed = demo_mm_inputs(1, [[3, 128, 128]], num_classes=CLASSES, with_mask=True)
    instances = packed['data_samples'][0].gt_instances
    label = int(instances.labels[0])
    found = []
    for maskless in (np.zeros(len(instances), bool), instances.labels.numpy() == label):
        data = deepcopy(packed)
        masks = data['data_samples'][0].gt_instances.masks
        data['data_samples'][0].gt_instances.masks = CompactMasks(
            masks.masks.astype(np.uint8), masks.height, masks.width, maskless
        )
        torch.manual_seed(0)
        model.zero_grad()
        data = model.train().data_preprocessor(data, True)
        losses = model.loss(data['inputs'], data['data_samples'])
        sum(value for key, value in losses.items() if 'loss_mask' in key).backward()
        heads = model.roi_head.mask_head
        predictors = [h.conv_logits for h in ([heads] if kind == 'StandardRoIHead' else heads)]
        found.append((losses, [predictor.weight.grad.clone() for predictor in predictors]))
    (losses, with_mask), (others, without) = found
    for key, value in losses.items():
        values, others_values = (torch.stack([*v]) if isinstance(v, list) else v
                                 for v in (value, others[key]))  # fmt: skip
        assert torch.equal(values, others_values) != ('loss_mask' in key), key
    for gradient, other in zip(with_mask, without):
        assert gradient[label].any() and not other[label].any()
    stock = detector(kind, False)
    torch.manual_seed(0)
    with pytest.raises(BadInputError, match="expected maskless='ignore'"):
        stock.loss(data['inputs'], data['data_samples'])


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('predictor', [CONV, NORMED])
def test_logits_equal_a_loop_over_rois_and_pixels(predictor, dtype):
    _, ours = pair(predictor, dtype)
    conv = ours.conv_logits
    x, labels = torch.randn(3, 6, 2, 2, dtype=dtype), torch.tensor([5, 0, 5])
    x[0, :, 0, 0] = 0
    found = conv(x).at(labels)
    for r, label in enumerate(labels):
        for pixel in np.ndindex(2, 2):
            feature, weight = x[(r, slice(None), *pixel)], conv.weight[label, :, 0, 0]
            expected = (feature * weight).sum()
            if isinstance(conv, NormedConv2d):
                norms = (feature.norm() ** 1.5 + 1e-6) * (weight.norm() ** 1.5 + 1e-6)
                expected = 8 * expected / norms
            torch.testing.assert_close(
                found[(r, 0, *pixel)], expected + conv.bias[label], **TOLERANCE[dtype]
            )


@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize('threshold', [0.5, -1])
@pytest.mark.parametrize('lazy', [False, True])
@pytest.mark.parametrize('class_agnostic', [False, True])
def test_predicted_masks_equal_stock(rescale, threshold, lazy, class_agnostic):
    stock, ours = pair(class_agnostic=class_agnostic)
    ours.lazy_masks = lazy
    x = torch.randn(5, 6, 14, 14)
    results = []
    for head in (stock, ours):
        torch.manual_seed(1)
        instances = InstanceData(
            bboxes=torch.rand(5, 2).mul(40).repeat(1, 2) + torch.tensor([0, 0, 30.0, 25]),
            labels=torch.tensor([0, 6, 2, 2, 3]),
        )
        (result,) = head.predict_by_feat(
            [head(x)],
            [instances],
            [dict(ori_shape=(61, 83), scale_factor=(1.37, 1.29))],
            ConfigDict(mask_thr_binary=threshold),
            rescale=rescale,
        )
        results.append(result)
    expected, found = results
    assert torch.equal(found.bboxes, expected.bboxes)
    assert found.masks.shape == expected.masks.shape
    assert found.masks.dtype == expected.masks.dtype
    difference = (found.masks.int() - expected.masks.int()).abs()
    # logits agree to rounding, so that 255 times a probability may round to the next integer, and
    # a pixel at the threshold may be on its other side
    assert difference.max() <= 1
    assert difference.float().mean() < 1e-3


def test_autocast():
    stock, ours = pair()
    given = targets([[3, 0], [6]], torch.float32)
    x = torch.randn(3, 6, 14, 14)
    losses = []
    for head in (stock, ours):
        with torch.autocast('cpu', dtype=torch.bfloat16):
            loss = head.loss_and_target(head(x), **given)['loss_mask']['loss_mask']
        loss.backward()
        losses.append(loss)
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(
        ours.conv_logits.weight.grad, stock.conv_logits.weight.grad, rtol=0.05, atol=5e-3
    )


def test_labels_out_of_range_name_the_image():
    _, ours = pair()
    for labels, message in (([[0], [7]], 'image 1 .* label 7'), ([[-1], [3]], 'image 0 .* -1')):
        with pytest.raises(BadInputError, match=message):
            ours.loss_and_target(ours(torch.zeros(2, 6, 14, 14)), **targets(labels, torch.float32))
    with pytest.raises(BadInputError, match=r'a\.jpg has label 7, but mask_head.num_classes is 7'):
        ours._predict_by_feat_single(
            ours(torch.zeros(1, 6, 14, 14)),
            torch.zeros(1, 4),
            torch.tensor([7]),
            dict(img_path='a.jpg', ori_shape=(9, 9), scale_factor=(1, 1)),
            dict(mask_thr_binary=0.5),
        )


def test_other_predictors_are_refused():
    with pytest.raises(BadInputError, match="predictor_cfg.type is 'DCNv2'; expected 'Conv'"):
        MODELS.build(dict(HEAD, type=TYPE, predictor_cfg=dict(type='DCNv2')))
    built = MODELS.build(dict(HEAD, type=TYPE, predictor_cfg=dict(type=ClassIndexedConv2d)))
    assert type(built.conv_logits) is ClassIndexedConv2d


def test_a_traced_head_gives_the_logits_of_all_classes():
    stock, ours = pair()
    x = torch.randn(2, 6, 14, 14)
    torch.testing.assert_close(torch.jit.trace(ours, x)(x), stock(x))


def detector(kind: str, ours: bool, class_agnostic: bool = False) -> nn.Module:
    """A small Mask R-CNN, Cascade Mask R-CNN or HTC with random weights."""
    cfg = Config.fromfile(CONFIGS / '_base_' / 'models' / 'mask_rcnn_r50_fpn_lvis.py').model
    cfg.backbone.update(depth=18, base_channels=16, stem_channels=16, init_cfg=None)
    cfg.neck.update(in_channels=[16, 32, 64, 128], out_channels=16)
    cfg.rpn_head.update(in_channels=16, feat_channels=16)
    roi = cfg.roi_head
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 16
    roi.bbox_head.update(
        in_channels=16, fc_out_channels=32, num_classes=CLASSES, reg_class_agnostic=True
    )
    head = dict(type='FCNMaskHead', num_classes=CLASSES, class_agnostic=class_agnostic)
    roi.mask_head.update(num_convs=1, in_channels=16, conv_out_channels=16, **head)
    cfg.train_cfg.rcnn.sampler.num = 32
    cfg.test_cfg.rcnn.max_per_img = 20
    if kind != 'StandardRoIHead':
        cfg.type = {'CascadeRoIHead': 'CascadeRCNN'}.get(kind, 'HybridTaskCascade')
        roi.update(type=kind, num_stages=3, stage_loss_weights=[1, 0.5, 0.25])
        for key in ('bbox_head', 'mask_head'):
            roi[key] = [deepcopy(roi[key]) for _ in range(3)]
        if kind == 'HybridTaskCascadeRoIHead':
            for index, mask_head in enumerate(roi.mask_head):
                mask_head.update(type='HTCMaskHead', with_conv_res=index > 0)
        cfg.train_cfg.rcnn = [deepcopy(cfg.train_cfg.rcnn) for _ in range(3)]
    if ours:
        heads = [roi.mask_head] if kind == 'StandardRoIHead' else roi.mask_head
        for mask_head in heads:
            mask_head.type = 'ClassIndexed' + mask_head.type.removeprefix('FCN')
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('kind', ['StandardRoIHead', 'CascadeRoIHead', 'HybridTaskCascadeRoIHead'])
def test_detectors_train_and_predict_alike_with_another_type_of_mask_head(kind, class_agnostic):
    stock, ours = detector(kind, False, class_agnostic), detector(kind, True, class_agnostic)
    # checkpoints go both ways
    ours.load_state_dict(stock.state_dict())
    stock.load_state_dict(ours.state_dict())
    pairs = assert_alike(stock, ours, CLASSES, rtol=1.3e-6, atol=1e-5)
    for expected, result in pairs:
        # logits agree to rounding: a pixel at the threshold may be on its other side
        assert result.masks.shape == expected.masks.shape
        assert (result.masks.cpu() != expected.masks).float().mean() < 1e-3


def test_the_lvis_config_uses_all_and_one_key_turns_each_off():
    def heads(**options) -> tuple[nn.Module, nn.Module]:
        cfg = Config.fromfile(CONFIGS / '_base_' / 'models' / 'mask_rcnn_r50_fpn_lvis.py')
        cfg.merge_from_dict({f'model.roi_head.{key}': value for key, value in options.items()})
        roi = cfg.model.roi_head
        return MODELS.build(roi.bbox_head), MODELS.build(roi.mask_head)

    bbox_head, mask_head = heads()
    assert bbox_head.topk_nms and mask_head.lazy_masks
    assert isinstance(mask_head.conv_logits, ClassIndexedConv2d)
    assert not heads(**{'bbox_head.topk_nms': False})[0].topk_nms
    assert not heads(**{'mask_head.lazy_masks': False})[1].lazy_masks
    assert type(heads(**{'mask_head.type': 'FCNMaskHead'})[1]).__name__ == 'FCNMaskHead'
