"""Cases of :mod:`agreement`: losses, adjustments, classifiers and statistics."""

from __future__ import annotations

import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

# isort: split
import numpy as np
import torch
from mmdet.utils import register_all_modules
from mmengine.model import ExponentialMovingAverage
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_det.adjustments import build_adjustment
from lt_det.frequency import ClassFrequency
from lt_det.models.classifiers import CrossModalHead
from lt_det.models.layers import FASA, CAMCalibration, CosineLinear
from lt_det.models.layers.normed_predictors import NormedConv2d, NormedLinear
from lt_det.models.losses import (
    BalancedContrastiveLoss,
    ClassBalancedLoss,
    EqualizedFocalLoss,
    FederatedLoss,
    GumbelLoss,
    LDAMLoss,
    LongTailEQLV2Loss,
    LongTailSeesawLoss,
)
from lt_det.models.losses.balanced_contrastive_loss import class_membership

from .agreement import Sizes, case

CROSS_ENTROPY = dict(type='mmpretrain.CrossEntropyLoss')


def frequency(classes: int) -> ClassFrequency:
    return ClassFrequency(np.geomspace(2000, 1, classes).astype(int), num_images=100_000)


def with_gradients(loss: Tensor, **leaves: Tensor) -> dict[str, Tensor]:
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found = {
        f'gradient of {name}': gradient
        for name, gradient in zip(leaves, gradients)
        if gradient is not None
    }
    return {'loss': loss.detach(), **found}


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {
        f'{"buffer" if value.is_floating_point() else "count"} {name}': value
        for name, value in module.named_buffers()
    }


def on_logits(
    loss: nn.Module, sizes: Sizes, device: torch.device, extra: int, steps: int = 3
) -> dict[str, Tensor]:
    """A loss of logits (R, C + extra) in some steps; with extra ones labels are background too."""
    if hasattr(loss, 'set_class_frequency'):
        loss.set_class_frequency(frequency(sizes.classes))
    loss.to(device)
    given = [
        (
            torch.randn(sizes.rois, sizes.classes + extra),
            torch.randint(sizes.classes + min(extra, 1), (sizes.rois,)),
        )
        for _ in range(steps)
    ]
    found = {}
    for step, (logits, labels) in enumerate(given):
        logits = logits.to(device).requires_grad_()
        value = loss(logits, labels.to(device))
        value = sum(value.values()) if isinstance(value, dict) else value
        results = with_gradients(value, logits=logits)
        found |= {f'{name} in step {step}': result for name, result in results.items()}
    return found | buffers(loss)


@case('LongTailSeesawLoss')
def seesaw(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    return on_logits(LongTailSeesawLoss(num_classes=sizes.classes), sizes, device, 2)


@case('LongTailEQLV2Loss')
def eqlv2(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    return on_logits(LongTailEQLV2Loss(num_classes=sizes.classes), sizes, device, 1)


@case('EqualizedFocalLoss')
def equalized_focal(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    return on_logits(EqualizedFocalLoss(num_classes=sizes.classes), sizes, device, 0)


@case('FederatedLoss')
def federated(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    # all classes are sampled: the draws make no difference
    loss = FederatedLoss(num_classes=sizes.classes, num_sampled=sizes.classes)
    return on_logits(loss, sizes, device, 1)


@case('GumbelLoss')
def gumbel(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    return on_logits(GumbelLoss(num_classes=sizes.classes), sizes, device, 1)


@case('LDAMLoss')
def ldam(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    return on_logits(LDAMLoss(CROSS_ENTROPY), sizes, device, 0)


@case('LDAMLoss with a background')
def ldam_of_rois(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    return on_logits(LDAMLoss(CROSS_ENTROPY), sizes, device, 1)


@case('ClassBalancedLoss')
def class_balanced(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    return on_logits(ClassBalancedLoss(CROSS_ENTROPY), sizes, device, 0)


@case('BalancedContrastiveLoss')
def contrastive(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    z = torch.randn(sizes.rois, 128).to(device).requires_grad_()
    centres = torch.randn(sizes.classes, 128).to(device).requires_grad_()
    labels, others = torch.randint(sizes.classes, (2, sizes.rois)).to(device)
    share = torch.rand(sizes.rois).to(device)
    w = class_membership(labels, sizes.classes, others, share)
    return with_gradients(BalancedContrastiveLoss()(z, w, centres), z=z, centres=centres)


@case('CrossModalHead')
def cross_modal(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    words, width, batch = 40, 64, 32
    head = CrossModalHead(
        sizes.classes,
        sizes.channels,
        words,
        word_vectors=dict(width=32),
        embed_dims=width,
        adjustment=dict(type='PriorShift', stage='train'),
        loss=CROSS_ENTROPY,
    )
    v = torch.randn(batch, sizes.channels)
    labels = torch.randint(sizes.classes, (batch,))
    has_word = torch.rand(batch, words) < 0.1
    head.set_class_frequency(frequency(sizes.classes))
    head.to(device)
    counts = has_word.sum(0).numpy()
    head.set_words([f'word {index}' for index in range(words)], counts, described=batch)
    samples = []
    for label, row in zip(labels, has_word):
        sample = DataSample().set_gt_label(label).to(device)
        sample.set_field(row.nonzero().flatten().numpy(), 'words')
        samples.append(sample)
    v = v.to(device).requires_grad_()
    losses = head.loss((v,), samples)
    found = with_gradients(sum(losses.values()), v=v, words=head.words.weight)
    return found | {f'loss {name}': value.detach() for name, value in losses.items()}


@case('adjustments')
def adjustments(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    logits, weight = torch.randn(2, sizes.rois, sizes.classes + 1)
    weight = weight[:, : sizes.classes].T.contiguous()
    dimension = np.linspace(1, 2, sizes.classes)
    found = {}
    for name, arguments in (
        ('IIF', dict(link='raw')),
        ('PriorShift', {}),
        ('NorCal', dict(gamma=0.6)),
        ('FRACAL', {}),
        ('TauNorm', {}),
        ('LearnedScale', {}),
        ('Temperature', dict(temperature=1.5)),
    ):
        rule = build_adjustment(dict(type=name, **arguments), num_classes=len(weight))
        rule.train(rule.stage == 'train')
        rule.set_class_frequency(frequency(len(weight)))
        if hasattr(rule, 'set_box_dimension'):
            rule.set_box_dimension(dimension)
        rule.to(device)
        if hasattr(rule, 'set_classifier'):
            rows = torch.cat([weight, weight[:1]]).to(device)
            rule.set_classifier(rows, torch.zeros(len(rows), device=device))
        found[f'value of {name}'] = rule(logits.to(device))
    both = [dict(type='IIF', stage='test'), dict(type='NorCal', gamma=0.6)]
    rule = build_adjustment(both, frequency(len(weight))).to(device).eval()
    found['value of IIF and NorCal'] = rule(logits.to(device))
    return found


@case('adjustments of convolutions')
def adjusted_convolution(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    """Independent sigmoids of 3 anchors, overwritten in place."""
    classes, anchors = sizes.classes, 3
    conv = nn.Conv2d(8, anchors * classes, 1).to(device)
    features = torch.randn(2, 8, 6, 5).to(device)
    found = {}
    for rule in ('IIF', 'PriorShift'):
        adjustment = build_adjustment(
            dict(type=rule), frequency(classes), background=False, activation='sigmoid'
        ).to(device)
        loss = adjustment(conv(features), dim=1, inplace=True).sigmoid().square().mean()
        results = with_gradients(loss, weight=conv.weight)
        found |= {f'{name} through {rule}': result for name, result in results.items()}
    return found


@case('CosineLinear, NormedLinear, NormedConv2d')
def predictors(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    flat = torch.randn(sizes.rois, sizes.channels)
    grid = torch.randn(4, sizes.channels, 14, 14)
    found = {}
    for kind, x in ((CosineLinear, flat), (NormedLinear, flat), (NormedConv2d, grid)):
        size = (1,) if kind is NormedConv2d else ()
        layer = kind(sizes.channels, sizes.classes, *size).to(device)
        x = x.to(device).requires_grad_()
        loss = layer(x).square().mean()
        results = with_gradients(loss, x=x, weight=layer.weight)
        found |= {f'{name} in {kind.__name__}': value for name, value in results.items()}
    return found


@case('FASA')
def fasa(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    statistics = FASA(sizes.classes, sizes.channels)
    statistics.set_class_frequency(frequency(sizes.classes))
    statistics.to(device)
    for _ in range(2):
        features = torch.randn(sizes.rois, sizes.channels)
        labels = torch.randint(sizes.classes + 1, (sizes.rois,))
        losses = torch.rand(sizes.rois)
        statistics.update(features.to(device), labels.to(device), losses.to(device))
        statistics.adapt()
    return buffers(statistics)


@case('CAMCalibration')
def calibration(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    cam = CAMCalibration(sizes.classes, sizes.channels, label_prob=0.0)
    features = torch.randn(2, sizes.rois, sizes.channels, 7, 7)
    probabilities = torch.randn(sizes.rois, sizes.classes + 1).softmax(1).to(device)
    labels = torch.randint(sizes.classes + 1, (sizes.rois,)).to(device)
    nn.init.constant_(cam.gamma, 0.5)
    cam.to(device)
    found = {}
    for step, part in enumerate(features):
        part = part.to(device).requires_grad_()
        calibrated = cam(part, probabilities, labels, update=True)
        loss = calibrated.square().mean()
        results = with_gradients(loss, x=part, gamma=cam.gamma, embed=cam.embed.weight)
        # the attention has mean 1, so its terms cancel: on a CPU alone, float32 is 5% from float64
        del results['gradient of gamma']
        found |= {f'{name} in step {step}': value for name, value in results.items()}
    return found | buffers(cam)


@case('CAMCalibration of no RoI')
def no_roi(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    cam = CAMCalibration(sizes.classes, sizes.channels).to(device)
    features = torch.zeros(0, sizes.channels, 7, 7, device=device, requires_grad=True)
    labels = torch.zeros(0, dtype=torch.long, device=device)
    calibrated = cam(features, labels=labels, update=True)
    return with_gradients(calibrated.sum(), embed=cam.embed.weight) | buffers(cam)


@case('averaged weights with LDAMLoss')
def averaged(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    model = nn.ModuleDict(
        dict(fc=nn.Linear(sizes.channels, sizes.classes), loss=LDAMLoss(CROSS_ENTROPY))
    ).to(device)
    average = ExponentialMovingAverage(model, momentum=0.1)
    model['loss'].set_class_frequency(frequency(sizes.classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        x = torch.randn(sizes.rois, sizes.channels).to(device)
        labels = torch.randint(sizes.classes, (sizes.rois,)).to(device)
        optimizer.zero_grad()
        model['loss'](model['fc'](x), labels).backward()
        optimizer.step()
        average.update_parameters(model)
    return {f'value of {name}': value for name, value in average.module.named_parameters()}
