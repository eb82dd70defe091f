"""CAM calibration against its formula in loops, and inside a detector."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config
from speed.ballad_cost import PeakBytes
from torch import Tensor, nn

from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.layers import CAMCalibration

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def layer(dtype=torch.float64, **kwargs) -> CAMCalibration:
    built = CAMCalibration(4, 3, **{'embed_channels': 5, 'top_k': 2, **kwargs}).to(dtype)
    built.prototypes.normal_()
    built.seen.fill_(True)
    return built


def naive_attention(cam: CAMCalibration, feature: Tensor, weights: dict[int, Tensor]) -> Tensor:
    """A (h, w) of one feature map (D, h, w) for classes and their weights."""
    _, height, width = feature.shape
    kernel = cam.embed.weight[:, :, 0, 0]
    response = []
    for y in range(height):
        for x in range(width):
            e = kernel @ feature[:, y, x]
            e = e / e.square().sum().sqrt()
            total = sum(pi * (e * cam.prototypes[c]).sum() for c, pi in weights.items())
            response.append(torch.exp(total / cam.temperature))
    response = torch.stack(response)
    return (height * width * response / response.sum()).view(height, width)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_features_and_gradients_equal_the_formula(dtype):
    cam = layer(dtype).eval()
    with torch.no_grad():
        cam.gamma.fill_(0.7)
    features = torch.randn(3, 3, 4, 2, dtype=dtype, requires_grad=True)
    probabilities = torch.randn(3, 5, dtype=dtype).softmax(1)
    expected = []
    for feature, pi in zip(features, probabilities):
        largest = sorted(range(4), key=lambda c: -pi[c])[:2]
        attention = naive_attention(cam, feature, {c: pi[c] for c in largest})
        assert attention.mean().item() == pytest.approx(1, rel=1e-5)
        expected.append(feature * (1 + cam.gamma[0] * attention) / (1 + cam.gamma[0]))
    expected = torch.stack(expected)
    # probabilities become float32 in the choice of the largest
    tolerance = dict(rtol=1e-5, atol=1e-5)
    calibrated = cam(features, probabilities)
    torch.testing.assert_close(calibrated, expected, **tolerance)
    wanted = [features, cam.gamma, cam.embed.weight]
    target = torch.randn_like(features)
    ours = torch.autograd.grad((calibrated * target).sum(), wanted)
    theirs = torch.autograd.grad((expected * target).sum(), wanted)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_labels_alone_look_for_their_class_and_background_for_none():
    cam = layer()
    features = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    embedding = cam.embedding(features)
    attention = cam.attention(*embedding, *cam.chosen(None, torch.tensor([2, 4])))
    one = torch.ones((), dtype=torch.float64)
    torch.testing.assert_close(attention[0], naive_attention(cam, features[0], {2: one}))
    torch.testing.assert_close(attention[1], torch.ones(4, 4, dtype=torch.float64))


def test_gamma_starts_at_the_identity_bit_for_bit_and_can_leave_it():
    cam = layer(torch.float32)
    features = torch.randn(2, 3, 4, 4)
    labels = torch.tensor([0, 3])
    out = cam(features, labels=labels)
    assert torch.equal(out, features)
    (out * torch.randn_like(out)).sum().backward()
    assert cam.gamma.grad.abs() > 0


@pytest.mark.parametrize('label_prob', [0.0, 0.5, 1.0])
def test_training_takes_the_label_with_the_given_probability(label_prob):
    cam = layer(torch.float32, label_prob=label_prob)
    probabilities = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15]).expand(4000, 5)
    labels = torch.tensor([0, 4]).repeat(2000)
    classes, weights = cam.chosen(probabilities, labels)
    by_label = weights[:, 1] == 0
    assert by_label.float().mean().item() == pytest.approx(label_prob, abs=0.04)
    assert (classes[by_label & (labels == 0), 0] == 0).all()
    assert (weights[by_label & (labels == 0), 0] == 1).all()
    assert not weights[by_label & (labels == 4)].any()
    torch.testing.assert_close(weights[~by_label].sum(1), torch.full([(~by_label).sum()], 0.55))
    assert torch.equal(cam.eval().chosen(probabilities, labels)[1], probabilities[:, 2:4])


def test_prototypes_are_moving_averages_over_the_samples_of_a_class():
    cam = layer(momentum=0.9)
    cam.seen[3] = False
    before = cam.prototypes.clone()
    features = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    labels = torch.tensor([0, 4, 0, 3, 4])
    pooled = []
    for feature, label in zip(features, labels):
        weights = {} if label == 4 else {int(label): torch.ones(())}
        attention = naive_attention(cam, feature, weights) if weights else torch.ones(2, 2)
        e = [cam.embed.weight[:, :, 0, 0] @ feature[:, y, x] for y in (0, 1) for x in (0, 1)]
        pooled.append(sum(a * v / v.norm() for a, v in zip(attention.flatten(), e)) / 4)
    cam(features, labels=labels, update=True)
    expected = before.clone()
    expected[0] = 0.9 * before[0] + 0.1 * (pooled[0] + pooled[2]) / 2
    expected[3] = pooled[3]  # not seen before
    torch.testing.assert_close(cam.prototypes, expected, rtol=1e-5, atol=1e-6)
    assert cam.seen.all()


def test_unseen_classes_leave_the_attention_flat():
    cam = CAMCalibration(4, 3, embed_channels=5)
    embedding = cam.embedding(torch.randn(2, 3, 4, 4))
    attention = cam.attention(*embedding, *cam.chosen(None, torch.tensor([0, 1])))
    torch.testing.assert_close(attention, torch.ones(2, 4, 4))


@pytest.mark.parametrize('training', [False, True])
def test_no_roi_at_all(training):
    cam = layer(torch.float32).train(training)
    features = torch.randn(0, 3, 4, 2, requires_grad=True)
    labels, before = torch.empty(0, dtype=torch.long), cam.prototypes.clone()
    for given in (dict(labels=labels), dict(labels=labels, probabilities=torch.rand(0, 5))):
        calibrated = cam(features, update=training, **given)
        assert calibrated.shape == features.shape
        calibrated.sum().backward()
    assert cam.prototypes.equal(before)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_what_is_not_finite_leaves_the_prototypes_alone(dtype, value):
    cam = layer(torch.float32)
    cam.embed.to(dtype)
    plain = deepcopy(cam)
    features, labels = torch.randn(4, 3, 4, 2).to(dtype), torch.tensor([0, 1, 0, 4])
    kept = [0, 3]
    plain(features[kept], labels=labels[kept], update=True)
    features[1, 0, 2, 1] = features[2, 1] = value
    cam(features, labels=labels, update=True)
    torch.testing.assert_close(cam.prototypes, plain.prototypes)
    assert cam.prototypes.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    cam = layer(torch.float32, label_prob=1.0)
    with torch.no_grad():
        cam.gamma.fill_(0.7)
    features = torch.randn(4, 3, 4, 2)
    features[1] = 0  # a RoI in the padding
    features[2, :, 0] = 0
    features[3] *= 300
    labels, probabilities = torch.tensor([0, 1, 2, 3]), torch.rand(4, 5)
    plain = deepcopy(cam)
    expected = plain(features, probabilities, labels, update=True)
    with torch.autocast('cpu', dtype):
        calibrated = cam(features.to(dtype), probabilities, labels, update=True)
    assert calibrated.dtype == dtype
    torch.testing.assert_close(calibrated.float(), expected, rtol=0.1, atol=0.1)
    torch.testing.assert_close(cam.prototypes, plain.prototypes, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_no_wide_copy_of_the_embedding_is_kept_or_made(dtype):
    cam = CAMCalibration(4, 3, embed_channels=16)
    features = torch.randn(300, 3, 7, 7, dtype=dtype)
    labels = torch.randint(4, (300,))
    wide = 300 * 16 * 7 * 7 * 4  # bytes
    kept = []
    with torch.autocast('cpu', dtype), PeakBytes() as counter:
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
            embedding, scale = cam.embedding(features)
        cam.update(embedding.detach(), scale.detach(), labels)
    assert embedding.dtype == dtype
    assert not any(x.dtype == torch.float32 and x.nbytes == wide for x in kept)
    # the embedding itself, and a part of it in float32
    assert counter.peak < 1.5 * wide


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_scale_of_half_precision(dtype):
    cam = layer(torch.float32)
    features = (1e4 * torch.randn(4, 3, 4, 2)).to(dtype).requires_grad_()
    cam.embed.to(dtype).weight.data *= 0.1
    embedding, scale = cam.embedding(features)
    expected = embedding.double().square().sum(1).rsqrt()
    torch.testing.assert_close(scale.double(), expected, rtol=1e-6, atol=0)
    (embedding * scale[:, None]).sum().backward()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize(
    ('name', 'value'),
    [('embed_channels', 0), ('top_k', 0), ('momentum', 1), ('temperature', 0), ('label_prob', 2)],
)
def test_bad_arguments(name, value):
    with pytest.raises(BadInputError, match=rf'calibration\.{name} is {value}, expected'):
        CAMCalibration(4, 3, **{name: value})


def detector(calibrated: bool, **head) -> nn.Module:
    cfg = Config.fromfile(CONFIGS / 'glyphs' / 'mask_rcnn_r18_iif_demo.py').model
    cfg.roi_head.mask_head.class_agnostic = False
    if calibrated:
        cfg.roi_head.type = 'CAMCalibratedRoIHead'
        cfg.roi_head.calibration = dict(embed_channels=16)
    cfg.roi_head.merge(head)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    frequency = ClassFrequency(range(5, 305, 10), num_images=600)
    model.roi_head.bbox_head.set_class_frequency(frequency)
    return model


def losses(model: nn.Module, packed: dict) -> dict[str, Tensor]:
    torch.manual_seed(1)
    data = model.data_preprocessor(deepcopy(packed), True)
    found = model.loss(data['inputs'], data['data_samples'])
    return {key: sum(v) if isinstance(v, list) else v for key, v in found.items()}


def predictions(model: nn.Module, packed: dict):
    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(deepcopy(packed), False)
        (result,) = model.predict(data['inputs'], data['data_samples'])
    model.train()
    return result.pred_instances


def test_detector_starts_as_the_plain_model_bit_for_bit_and_learns():
    plain, model = detector(False), detector(True)
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert {key.split('.')[1] for key in missing} == {'calibration', 'first_pass'}
    packed = demo_mm_inputs(1, [[3, 128, 128]], num_classes=30, with_mask=True)
    plain.train()
    model.train()
    ours = losses(model, packed)
    extra = ours.pop('loss_first_pass')
    assert extra.item() == pytest.approx(0.5 * math.log(31), rel=0.2)
    for key, value in losses(plain, packed).items():
        assert torch.equal(ours[key], value), key
    assert model.roi_head.calibration.seen.any()
    expected, found = predictions(plain, packed), predictions(model, packed)
    for key in ('scores', 'labels', 'bboxes', 'masks'):
        assert torch.equal(found[key], expected[key]), key

    # the prototypes of the first step give gamma a gradient in the second
    total = sum(value for key, value in losses(model, packed).items() if 'loss' in key)
    total.backward()
    calibration = model.roi_head.calibration
    assert (calibration.gamma.grad != 0).all()
    assert model.roi_head.first_pass.weight.grad.abs().sum() > 0
    with torch.no_grad():
        calibration.gamma += 0.5
    changed = predictions(model, packed)
    assert not torch.equal(changed.scores, expected.scores)


def test_an_image_without_detections_leaves_nothing_behind():
    model = detector(True).eval()
    model.roi_head.test_cfg.score_thr = 2.0
    packed = demo_mm_inputs(1, [[3, 64, 64]], num_classes=30, with_mask=True)
    assert not len(predictions(model, packed))
    assert model.roi_head._mask_labels is None


def test_heads_that_cannot_be_calibrated():
    with pytest.raises(BadInputError, match=r'roi_head\.bbox_head is .* without class weights'):
        detector(True, bbox_head=dict(with_cls=False, adjustment=None))
    with pytest.raises(BadInputError, match=r'mask_roi_extractor\.out_channels is 32, expected 64'):
        detector(True, mask_roi_extractor=dict(out_channels=32))
