"""Cases of :mod:`agreement`: classifiers, their backbones, and what draws on the device."""

from __future__ import annotations

import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

# isort: split
import torch
from mmdet.utils import register_all_modules
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_det.models.backbones import CIFARResNet, CIFARSEResNet, LongTailResNet
from lt_det.models.classifiers import CAMCClsHead, LongTailClsHead
from lt_det.models.classifiers.text_cls_head import TextClsHead
from lt_det.models.layers import FASA
from lt_det.models.layers.cam_masking import CAMMasking
from lt_det.models.layers.class_indexed_conv import ClassIndexedNormedConv2d
from lt_det.models.layers.class_indexed_linear import ClassIndexedLinear
from lt_det.models.layers.minor_labels import MinorLabels
from lt_det.models.layers.residual_adapter import ResidualAdapter
from lt_det.models.losses.class_contrastive_loss import class_contrastive_loss
from lt_det.models.losses.masked_loss import masked_loss

from .agreement import Sizes, case
from .agreement_losses import CROSS_ENTROPY, frequency, with_gradients

BATCH = 16


def labelled(classes: int, device: torch.device) -> list[DataSample]:
    labels = torch.randint(classes, (BATCH,))
    return [DataSample().set_gt_label(label).to(device) for label in labels]


def through_relus(found: dict[str, Tensor], of: str, how: str = 'rectified') -> dict[str, Tensor]:
    """Results of a network of many layers by names that allow for the rounding of each."""
    names = {name: name.replace('gradient', f'{how} gradient') for name in found}
    return {f'{names[name].replace("loss", "value")} of {of}': found[name] for name in found}


@case('heads of classifiers')
def heads(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    classes, channels = sizes.classes, sizes.channels
    arguments = dict(loss=CROSS_ENTROPY, adjustment=dict(type='PriorShift', stage='train'))
    cosine = dict(type='CosineLinear', scale=16.0)
    contenders = (
        (LongTailClsHead(classes, channels, cls_predictor_cfg=cosine, **arguments), (channels,)),
        (
            CAMCClsHead(classes, channels, calibration=dict(label_prob=0.0), **arguments),
            (channels, 7, 7),
        ),
        (TextClsHead(classes, **arguments), (classes,)),
    )
    found = {}
    for head, shape in contenders:
        features = torch.randn(BATCH, *shape)
        samples = labelled(classes, device)
        head.set_class_frequency(frequency(classes))
        head.to(device)
        features = features.to(device).requires_grad_()
        losses = head.loss((features,), samples)
        results = with_gradients(sum(losses.values()), features=features, **weights(head))
        found |= {f'{name} of {type(head).__name__}': value for name, value in results.items()}
    return found


def weights(head: nn.Module) -> dict[str, Tensor]:
    return {'classifier': head.fc.weight} if hasattr(head.fc, 'weight') else {}


@case('residual networks')
def backbones(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    found = {}
    for network, side in (
        (CIFARResNet(20), 32),
        (CIFARSEResNet(20), 32),
        (LongTailResNet(10, stem_channels=16, base_channels=16), 64),
    ):
        images = torch.randn(BATCH, 3, side, side)
        network.to(device).train()
        images = images.to(device).requires_grad_()
        last = network(images)[-1]
        results = with_gradients(last.square().mean(), images=images, stem=network.conv1.weight)
        found |= through_relus(results, type(network).__name__, 'deep')
    return found


@case('SMCLClassifier')
def smcl(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    """A clean and two views, of which none is masked: masks and labels are drawn on the device."""
    register_all_modules(init_default_scope=True)
    model = MODELS.build(
        dict(
            type='mmpretrain.SMCLClassifier',
            backbone=dict(type='mmpretrain.CIFARResNet', depth=20),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(
                type='mmpretrain.LongTailClsHead',
                num_classes=sizes.classes,
                in_channels=64,
                loss=CROSS_ENTROPY,
            ),
            contrast=dict(out_channels=32, loss=dict(type='mmpretrain.BalancedContrastiveLoss')),
            data_preprocessor=dict(type='mmpretrain.MultiViewDataPreprocessor'),
        )
    )
    model.init_weights()
    views = [torch.randn(BATCH, 3, 32, 32) for _ in range(3)]
    samples = labelled(sizes.classes, device)
    for module in model.modules():
        if hasattr(module, 'set_class_frequency'):
            module.set_class_frequency(frequency(sizes.classes))
    model.to(device).train()
    losses = model.loss([view.to(device) for view in views], samples)
    results = with_gradients(sum(losses.values()), classifier=model.head.fc.weight)
    return through_relus(results, 'SMCL')


@case('losses of images and texts')
def texts(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    register_all_modules(init_default_scope=True)
    adapter = ResidualAdapter(sizes.channels)
    loss = MODELS.build(CROSS_ENTROPY)
    image, text = torch.randn(2, BATCH, sizes.channels)
    labels, others = torch.randint(BATCH, (2, BATCH)).to(device)
    share = torch.rand(BATCH).to(device)
    adapter.to(device)
    image, text = (part.to(device).requires_grad_() for part in (image, text))
    logits = adapter(image) @ text.T
    total = class_contrastive_loss(logits, labels % 5)
    total = total + masked_loss(loss, logits, labels, others, share)
    return with_gradients(total, image=image, text=text, adapter=adapter.weight)


@case('ClassIndexedLinear, ClassIndexedNormedConv2d')
def class_indexed(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    linear = ClassIndexedLinear(sizes.channels, 4 * sizes.classes, sizes.classes)
    conv = ClassIndexedNormedConv2d(sizes.channels, sizes.classes, 1)
    found = {}
    for layer, shape in ((linear, ()), (conv, (14, 14))):
        x = torch.randn(BATCH, sizes.channels, *shape)
        labels = torch.randint(sizes.classes, (BATCH,)).to(device)
        layer.to(device)
        x = x.to(device).requires_grad_()
        loss = layer(x).at(labels).square().mean()
        results = with_gradients(loss, x=x, weight=layer.weight)
        found |= {f'{name} in {type(layer).__name__}': value for name, value in results.items()}
    rows, labels = torch.arange(BATCH, device=device), labels
    outputs = linear(torch.ones(BATCH, sizes.channels, device=device))
    return found | {'value of pairs': outputs.of(rows, labels).detach()}


@case('what is drawn on the device')
def drawn(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    """Draws differ; what holds for each of them does not."""
    minor = MinorLabels(sizes.classes)
    minor.set_class_frequency(frequency(sizes.classes))
    labels = minor.to(device)(2000)
    fasa = FASA(sizes.classes, sizes.channels)
    fasa.set_class_frequency(frequency(sizes.classes))
    fasa.to(device)
    features = torch.randn(sizes.classes, sizes.channels).to(device)
    every = torch.arange(sizes.classes, device=device)
    fasa.update(features, every, torch.ones(sizes.classes, device=device))
    virtual, classes, weight = fasa.sample()
    return {
        'holds of labels': (labels >= 0) & (labels < sizes.classes),
        'holds of rare labels': (labels.float().mean() > sizes.classes / 2)[None],
        # a class was seen once: its variance is 0
        'holds of virtual features': (virtual == features[classes]).all(1) & (weight == 1),
    }


@case('CAMMasking')
def masking(sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    """Whatever is drawn: ones stay where an image is visible."""
    images, maps = torch.ones(BATCH, 3, 32, 32), torch.rand(BATCH, 8, 8)
    masked, visible = CAMMasking(prob=1.0)(images.to(device), maps.to(device))
    return {'holds of masks': (masked[:, 0].mean((1, 2)) - visible).abs() < 1e-5}
