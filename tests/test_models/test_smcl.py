"""Minor labels, masks from activation maps, and the classifier whose losses they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.models.losses import CrossEntropyLoss
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from torch.nn import functional as F

from lt_det.datasets.saliency_mask import SaliencyMask, masked_box
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.models.classifiers import MultiViewDataPreprocessor
from lt_det.models.layers import CAMMasking
from lt_det.models.layers.cam_masking import box_mask
from lt_det.models.layers.minor_labels import MinorLabels, minor_probabilities
from lt_det.models.losses.balanced_contrastive_loss import class_membership
from lt_det.models.losses.masked_loss import masked_loss

COUNTS = [300, 60, 40, 5]
FREQUENCY = ClassFrequency(COUNTS)
C, B = 4, 3
LABELS = torch.tensor([0, 3, 1])


@pytest.fixture(autouse=True)
def seeded():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    np.random.seed(0)


# ---------------------------------------------------------------------------------- minor labels


@pytest.mark.parametrize('power', [0.0, 0.5, 1.0, 2.0])
def test_minor_labels_follow_the_power(power):
    weights = [n**-power for n in COUNTS]
    expected = np.array(weights) / sum(weights)
    np.testing.assert_allclose(minor_probabilities(FREQUENCY, power), expected)
    labels = MinorLabels(C, power)
    labels.set_class_frequency(FREQUENCY)
    drawn = labels(20_000)
    found = np.bincount(drawn, minlength=C) / len(drawn)
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(0.25 / len(drawn)))


def test_empty_classes_are_never_drawn():
    for counts in ([5, 0, 40, 0], [0, 0, 1, 0]):
        labels = MinorLabels(C)
        labels.set_class_frequency(ClassFrequency(counts))
        assert set(labels(2000).tolist()) <= set(np.flatnonzero(counts).tolist())


@pytest.mark.parametrize('power', [-0.5, float('nan'), float('inf')])
def test_negative_power(power):
    with pytest.raises(BadInputError, match=r'minor_power is .*, expected a number >= 0'):
        MinorLabels(C, power)
    with pytest.raises(BadInputError, match='minor_power'):
        build(minor_power=power)


def test_minor_labels_come_with_the_checkpoint():
    labels = MinorLabels(C)
    with pytest.raises(RuntimeError, match='no class statistics yet.*ClassFrequencyHook'):
        labels(3)
    labels.set_class_frequency(FREQUENCY)
    copy = MinorLabels(C)
    copy.load_state_dict(labels.state_dict())
    torch.testing.assert_close(copy.upper, labels.upper)


# ----------------------------------------------------------------------------------- masked loss


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_masked_cross_entropy(dtype):
    logits = torch.randn(B, C, dtype=dtype, requires_grad=True)
    others, share = torch.tensor([3, 2, 1]), torch.tensor([1.0, 0.25, 0.0], dtype=dtype)
    found = masked_loss(CrossEntropyLoss(), logits, LABELS, others, share)
    expected = 0
    for z, y, other, part in zip(logits, LABELS, others, share):
        total = sum(torch.exp(value) for value in z).log()
        expected = expected + (part * (total - z[y]) + (1 - part) * (total - z[other])) / B
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, logits, retain_graph=True),
        torch.autograd.grad(expected, logits),
    )
    # linear in the target: the cross-entropy of the mixture
    soft = class_membership(LABELS, C, others, share)
    torch.testing.assert_close(found, F.cross_entropy(logits, soft))


# ----------------------------------------------------------------------- masks from activation maps


@pytest.mark.parametrize('grid', [(1, 1), (3, 4), (16, 20)])
def test_boxes_on_the_device_are_those_of_the_workers(grid):
    size = (16, 20)
    share = torch.tensor([0.0, 0.013, 0.3, 0.75, 0.999, 1.0])
    place = torch.randint(grid[0] * grid[1], share.shape)
    found = box_mask(place, grid, size, share).numpy()
    for inside, index, part in zip(found, place.tolist(), share.tolist()):
        y, x = divmod(index, grid[1])
        centre = (2 * y + 1) * size[0] // (2 * grid[0]), (2 * x + 1) * size[1] // (2 * grid[1])
        x1, y1, x2, y2 = masked_box(*size, centre, part)
        expected = np.zeros(size, bool)
        expected[y1:y2, x1:x2] = True
        assert (inside == expected).all()


def test_cam_masking():
    images = torch.rand(200, 3, 16, 20) + 0.5
    maps = torch.rand(200, 4, 5)
    maps[0] = 1.0  # nothing salient
    masked, share = CAMMasking(prob=1.0)(images, maps)
    hidden = (masked == 0).all(1)
    torch.testing.assert_close(share, 1 - hidden.float().mean((1, 2)))
    assert (masked == images)[~hidden[:, None].expand_as(masked)].all()
    assert share[0] == 1
    places = maps.flatten(1).argmax(1)
    for inside, place in zip(hidden[1:], places[1:].tolist()):
        assert not inside.any() or inside[4 * (place // 5) + 2, 4 * (place % 5) + 2]
    _, share = CAMMasking(prob=0.5)(images, maps)
    assert 60 < (share < 1).sum() < 140
    assert (CAMMasking(prob=0.0)(images, maps)[1] == 1).all()
    for name, value in (('prob', -0.1), ('alpha', 0), ('fill', 'grey')):
        with pytest.raises(BadInputError, match=f'masking.{name} is {value!r}'):
            MODELS.build({'type': 'CAMMasking', name: value})


@pytest.mark.parametrize('fill', [0.25, 'background'])
@pytest.mark.parametrize('size', [(16, 20), (9, 13)])
def test_boxes_are_filled_like_those_of_the_workers(size, fill):
    images, maps = torch.rand(20, 3, *size), torch.rand(20, *size)
    torch.manual_seed(3)
    shares = torch.distributions.Beta(torch.ones(20), torch.ones(20)).sample().tolist()
    torch.manual_seed(3)
    masked, visible = CAMMasking(prob=1.0, fill=fill)(images, maps)
    for n, (image, share) in enumerate(zip(images, shares)):
        transform = SaliencyMask(saliency=lambda _, n=n: maps[n].numpy(), prob=1.0, fill=fill)
        expected, _, part = transform.mask(image.permute(1, 2, 0).numpy(), share)
        torch.testing.assert_close(masked[n], torch.from_numpy(expected).permute(2, 0, 1))
        assert visible[n] == pytest.approx(part, abs=1e-6)


# ------------------------------------------------------------------------------- data preprocessor


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_views_are_prepared_one_by_one(collate):
    arguments = dict(mean=[1.0, 2, 3], std=[4.0, 5, 6], to_rgb=True, num_classes=C)
    ours, stock = MultiViewDataPreprocessor(**arguments), ClsDataPreprocessor(**arguments)
    views = torch.randint(0, 255, (B, 2, 3, 8, 8), dtype=torch.uint8)
    items = [
        dict(inputs=list(image), data_samples=DataSample().set_gt_label(label))
        for image, label in zip(views, LABELS)
    ]
    found = ours(collate(items), training=True)
    for index, view in enumerate(found['inputs']):
        torch.testing.assert_close(view, stock(dict(inputs=views[:, index]))['inputs'])
    assert [sample.gt_label.item() for sample in found['data_samples']] == LABELS.tolist()
    plain = collate([dict(inputs=item['inputs'][0]) for item in items])
    torch.testing.assert_close(ours(plain)['inputs'], found['inputs'][0])


def test_mixup_of_views_is_refused():
    with pytest.raises(BadInputError, match='mixup and CutMix cannot be used with several views'):
        build(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.2)]))


# -------------------------------------------------------------------------------------- classifier

CONTRAST = dict(out_channels=8, loss=dict(type='BalancedContrastiveLoss', loss_weight=0.6))


def build(head: dict | None = None, **arguments):
    """A classifier whose backbone has no batch norm statistics, so that views do not mix."""
    backbone = dict(
        type='LongTailResNet', depth=10, base_channels=8, stem_channels=8, norm_eval=True
    )
    model = MODELS.build(
        dict(
            type='SMCLClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LongTailClsHead', num_classes=C, in_channels=64, **(head or {})),
            **arguments,
        )
    )
    model.init_weights()
    for child in model.children():
        if hasattr(child, 'set_class_frequency'):
            child.set_class_frequency(FREQUENCY)
    return model.train()


def batch(shares: list[list[float]] | None, views: int = 3):
    """Views (V of (B, 3, 16, 16)) and samples that know their shares, the clean view's first."""
    samples = [DataSample().set_gt_label(label) for label in LABELS]
    for sample, share in zip(samples, shares or []):
        sample.set_field(torch.tensor(share), 'visible_share')
    return [torch.randn(B, 3, 16, 16) for _ in range(views)], samples


SHARES = [[1.0, 0.25, 1.0], [1.0, 1.0, 0.5], [1.0, 0.75, 0.0]]


@pytest.mark.parametrize('target', ['mixed', 'hard'])
def test_losses_are_those_of_the_parts(target):
    model = build(contrast=CONTRAST, masked_weight=0.7, target=target)
    views, samples = batch(SHARES)
    minor = torch.tensor([3, 3, 2, 1, 0, 3])
    model.minor_labels.forward = lambda size: minor
    found = model.loss(views, samples)
    clean = model.extract_feat(views[0])
    torch.testing.assert_close(found['loss'], model.head.loss(clean, samples)['loss'])

    # view by view: the first contrastive view of all images, then the second
    share = [SHARES[image][view] for view in (1, 2) for image in range(B)]
    if target == 'hard':
        share = [float(part == 1) for part in share]
    share, labels = torch.tensor(share), LABELS.repeat(2)
    feats = torch.cat([model.extract_feat(view)[-1] for view in views[1:]])
    logits = model.head.fc(feats)
    expected = sum(
        part * F.cross_entropy(z[None], y[None]) + (1 - part) * F.cross_entropy(z[None], m[None])
        for z, y, m, part in zip(logits, labels, minor, share)
    )
    torch.testing.assert_close(found['loss_masked'], 0.7 * expected / 6)
    branch = model.contrast
    expected = branch.loss(
        branch.project(feats),
        class_membership(labels, C, minor, share),
        branch.to_centres(model.head.fc.weight),
    )
    torch.testing.assert_close(found['loss_contrast'], expected)

    total = sum(found.values())
    total.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []


def test_unmasked_views_are_balanced_contrastive_learning():
    model = build(contrast=CONTRAST, masked_weight=0.0)
    views, samples = batch(None)
    found = model.loss(views, samples)
    assert set(found) == {'loss', 'loss_contrast'}
    whole = [[1.0] * 3] * B
    for sample, share in zip(samples, whole):
        sample.set_field(torch.tensor(share), 'visible_share')
    torch.testing.assert_close(model.loss(views, samples), found)


def test_only_masked_cross_entropy():
    model = build()
    views, samples = batch(SHARES)
    assert set(model.loss(views[:2], samples)) == {'loss', 'loss_masked'}


@pytest.mark.parametrize(
    'head',
    [
        dict(adjustment=dict(type='IIF', link='smooth')),
        dict(adjustment=dict(type='PriorShift', stage='train')),
        dict(cls_predictor_cfg=dict(type='CosineLinear', scale=16.0)),
        dict(adjustment=dict(type='IIF'), cls_predictor_cfg=dict(type='CosineLinear', scale=16.0)),
        dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=C)),
        dict(loss=dict(type='LDAMLoss')),
    ],
)
def test_adjustments_cosine_heads_and_losses_combine(head):
    model = build(head, contrast=CONTRAST)
    views, samples = batch(SHARES)
    found = model.loss(views, samples)
    sum(found.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.head.fc.weight.grad.abs().sum() > 0
    plain = build(contrast=CONTRAST)
    plain.load_state_dict(model.state_dict(), strict=False)
    if 'adjustment' in head:  # the masked views go through the adjustment too
        torch.manual_seed(1), model.loss(views, samples)
        torch.manual_seed(1)
        adjusted = model.loss(views, samples)['loss_masked']
        torch.manual_seed(1)
        assert abs(adjusted - plain.loss(views, samples)['loss_masked']) > 1e-3


def test_prediction_is_that_of_image_classifier():
    model = build(dict(adjustment=dict(type='PriorShift', stage='test')), contrast=CONTRAST).eval()
    images = torch.randn(B, 3, 16, 16)
    stock = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='LongTailResNet', depth=10, base_channels=8, stem_channels=8),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LongTailClsHead',
                num_classes=C,
                in_channels=64,
                adjustment=dict(type='PriorShift', stage='test'),
            ),
        )
    ).eval()
    stock.load_state_dict(model.state_dict(), strict=False)
    for ours, theirs in zip(model.predict(images), stock.predict(images)):
        assert torch.equal(ours.pred_score, theirs.pred_score)


def test_masks_of_the_model_itself():
    model = build(masking=dict(type='CAMMasking', prob=1.0), contrast=CONTRAST)
    model.backbone.norm_eval = False
    model.train()
    views, samples = batch(None)
    before = model.backbone.norm1.running_mean.clone()
    maps = model.activation_maps(views[0], LABELS)
    assert torch.equal(model.backbone.norm1.running_mean, before)
    assert model.backbone.norm1.training
    model.eval()
    features = model.backbone(views[0])[-1]
    for found, feature, label in zip(maps, features, LABELS):
        expected = sum(w * channel for w, channel in zip(model.head.fc.weight[label], feature))
        torch.testing.assert_close(found, expected)
    # the spatial mean of the map is the logit, less the bias
    torch.testing.assert_close(
        maps.mean((1, 2)), F.linear(features.mean((2, 3)), model.head.fc.weight)[range(B), LABELS]
    )
    assert set(model.train().loss(views, samples)) == {'loss', 'loss_masked', 'loss_contrast'}


def test_bad_arguments():
    with pytest.raises(BadInputError, match="target is 'soft', expected one of"):
        build(target='soft')
    with pytest.raises(BadInputError, match='masked_weight is -1'):
        build(masked_weight=-1)
    with pytest.raises(BadInputError, match='head.type is ClsHead, which has no linear classifier'):
        MODELS.build(
            dict(
                type='SMCLClassifier',
                backbone=dict(type='LongTailResNet', depth=10),
                head=dict(type='ClsHead'),
            )
        )
    views, samples = batch(SHARES)
    for inputs in (views[0], views[:1]):
        with pytest.raises(BadInputError, match='got one view per image.*MaskedMultiView'):
            build().loss(inputs, samples)


def test_a_step_from_the_pipeline_to_the_gradients():
    steps = [dict(type='SaliencyMask', prob=1.0, fill=127.5)]
    transforms = [
        dict(type='MaskedMultiView', transforms=[[], steps], num_views=[1, 2]),
        dict(type='PackInputs', algorithm_keys=['visible_share']),
    ]
    pipeline = [TRANSFORMS.build(step) for step in transforms]
    items = []
    for label in LABELS:
        item = dict(img=np.random.randint(0, 255, (16, 16, 3)).astype(np.uint8), gt_label=label)
        for step in pipeline:
            item = step(item)
        items.append(item)
    model = build(contrast=CONTRAST, data_preprocessor=dict(mean=[127.5] * 3, std=[64.0] * 3))
    data = model.data_preprocessor(default_collate(items), training=True)
    losses = model(**data, mode='loss')
    sum(losses.values()).backward()
    assert set(losses) == {'loss', 'loss_masked', 'loss_contrast'}
    assert model.backbone.conv1.weight.grad.abs().sum() > 0
