"""Where a detector of MMDetection computes its class logits.

A head is known by the name of its class or of one it inherits from. C foreground classes, K
channels of one classifier and anchor: the classes, and behind them what a softmax needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from ...errors import BadInputError


@dataclass(frozen=True)
class ClassLogits:
    """The layers of one head that compute class logits.

    Args:
        name: Path of the head in the detector.
        head: The head.
        layers: Those whose output is compared with class labels in training, but for classifiers
            of proposals; convolutions (A x K channels) or linear layers (K), each once.
        at_test: Those of them whose output becomes the scores of detections.
        num_classes: C.
        num_extra: K - C.
        activation: ``'softmax'`` or ``'sigmoid'``.
    """

    name: str
    head: nn.Module
    layers: tuple[nn.Module, ...]
    at_test: tuple[nn.Module, ...]
    num_classes: int
    num_extra: int
    activation: str


Layers = tuple[list[nn.Module], list[nn.Module]]


def _attribute(*names: str) -> Callable[[nn.Module], Layers]:
    """A layer, or one for each level or stage in a ModuleList; all of them make scores."""

    def layers(head: nn.Module) -> Layers:
        chosen = [layer for name in names for layer in _flat(getattr(head, name, None))]
        return chosen, chosen

    return layers


def _last_of_each(name: str) -> Callable[[nn.Module], Layers]:
    """The last layer of each Sequential."""

    def layers(head: nn.Module) -> Layers:
        chosen = [sequence[-1] for sequence in getattr(head, name)]
        return chosen, chosen

    return layers


def _of_decoder(head: nn.Module) -> Layers:
    """Those of all decoder layers; the last one's make scores.

    Behind them in ``cls_branches`` is what ranks the proposals of an encoder.
    """
    branches = list(head.cls_branches)
    number = getattr(head, 'num_pred_layer', len(branches)) - bool(head.as_two_stage)
    decoder = branches[:number]
    return [*decoder, *getattr(head, 'aux_cls_branches', ())], [decoder[-1]]


HEADS: dict[str, Callable[[nn.Module], Layers]] = {
    'AnchorFreeHead': _attribute('conv_cls'),  # FCOS, FoveaBox, NAS-FCOS, CondInst, CenterNet2
    'ATSSHead': _attribute('atss_cls'),  # PAA, DDOD
    'BBoxHead': _attribute('fc_cls', 'fc_cls_ref'),  # of RoIs: Faster to Cascade R-CNN, HTC
    'DDODHead': _attribute('atss_cls'),
    'DETRHead': _attribute('fc_cls'),  # Conditional DETR, DAB-DETR
    'DIIHead': _attribute('fc_cls'),  # Sparse R-CNN, QueryInst
    'DeformableDETRHead': _of_decoder,  # DINO, DDQ, Co-DETR
    'GARetinaHead': _attribute('retina_cls'),
    'GFLHead': _attribute('gfl_cls'),  # LD
    'MaskFormerHead': _attribute('cls_embed'),  # Mask2Former
    'RepPointsHead': _attribute('reppoints_cls_out'),
    'RetinaHead': _attribute('retina_cls'),  # FSAF, FreeAnchor, PISA
    'RetinaSepBNHead': _attribute('retina_cls'),
    'RTMDetHead': _attribute('rtm_cls'),  # RTMDet-Ins
    'SABLHead': _attribute('fc_cls'),
    'SABLRetinaHead': _attribute('retina_cls'),
    'SOLOHead': _attribute('conv_cls'),  # SOLOv2
    'SSDHead': _last_of_each('cls_convs'),
    'TOODHead': _attribute('tood_cls'),
    'VFNetHead': _attribute('vfnet_cls'),
    'YOLACTHead': _attribute('conv_cls'),
    'YOLOFHead': _attribute('cls_score'),
    'YOLOXHead': _attribute('multi_level_conv_cls'),
}
# heads that have class logits in no such form
REFUSED: dict[str, str] = {
    'ATSSVLFusionHead': 'GLIP compares regions with words and has no weights of classes',
    'CenterNetHead': 'CenterNet predicts heat maps, whose targets are soft',
    'CornerHead': 'CornerNet predicts heat maps of corners, whose targets are soft',
    'GroundingDINOHead': 'Grounding DINO compares queries with words and has no weights of classes',
    'YOLOV3Head': 'YOLOv3 has boxes, objectness and classes in the channels of one convolution',
}
# their channels are those of the loss, or of a softmax with background whatever the loss
_ROI_HEADS = ('BBoxHead', 'SABLHead')


def find_class_logits(detector: nn.Module) -> list[ClassLogits]:
    """The class logits of a detector, by its heads; none where no head is known.

    Heads of region proposal networks are left out: they know objects, not classes.

    Raises:
        BadInputError: A head has no class logits that could be adjusted, or the channels of a
            classifier are no multiple of K.
    """
    heads = list(class_heads(detector))
    for name, head in heads:
        known = _known_as(head)
        if known in REFUSED:
            raise BadInputError(
                f'model.{name}.type is {type(head).__name__}: {REFUSED[known]}; expected a '
                'detector with one logit per class'
            )
    return [_checked(name, head, HEADS[_known_as(head)](head)) for name, head in heads]


def class_heads(detector: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Paths and modules of the heads that classify objects, but for those that are not known."""
    for name, module in detector.named_modules():
        if _known_as(module) is not None and 'rpn_head' not in name.split('.'):
            yield name, module


def num_object_classes(head: nn.Module) -> int:
    """C of a head; the classes of a panoptic head are things, then stuff without objects."""
    return getattr(head, 'num_things_classes', head.num_classes)


def class_logits_of(detector: nn.Module, paths: list[str]) -> list[ClassLogits]:
    """The class logits of the layers that the user names.

    Args:
        detector: The detector.
        paths: Of the layers, as ``'bbox_head.conv_cls'``.

    Raises:
        BadInputError: There is no such layer, it is in no head with ``num_classes``, or its
            channels are no multiple of K.
    """
    modules = dict(detector.named_modules())
    layers: dict[str, list[nn.Module]] = {}
    for path in paths:
        chosen = _flat(modules.get(path))
        if not chosen or not all(_channels(layer) for layer in chosen):
            raise BadInputError(
                f"model.classifiers has '{path}', which is no layer; expected one of "
                f'{candidates(detector)}'
            )
        parents = [path.rsplit('.', level)[0] for level in range(1, path.count('.') + 1)]
        owners = [name for name in parents if hasattr(modules[name], 'num_classes')]
        if not owners:
            raise BadInputError(
                f"model.classifiers has '{path}', but none of the modules around it has "
                f'num_classes ({", ".join(parents) or "the detector"}); expected a layer of a head'
            )
        layers.setdefault(owners[0], []).extend(chosen)
    return [_checked(name, modules[name], (chosen, chosen)) for name, chosen in layers.items()]


def candidates(detector: nn.Module, most: int = 8) -> str:
    """Layers that may compute class logits, with their channels, the likeliest first."""
    counts = {module.num_classes for module in detector.modules() if _knows_classes(module)}
    channels = {
        name: _channels(module)
        for name, module in detector.named_modules()
        if _channels(module) and not name.startswith(('backbone', 'neck'))
    }

    def unlike(name: str) -> bool:
        return not any(channels[name] % k == 0 for count in counts for k in (count, count + 1))

    names = sorted(channels, key=lambda name: (unlike(name), 'cls' not in name))
    return ', '.join(f'{name} ({channels[name]})' for name in names[:most]) or 'none'


def _known_as(module: nn.Module) -> str | None:
    names = (parent.__name__ for parent in type(module).__mro__)
    return next((name for name in names if name in HEADS or name in REFUSED), None)


def _checked(name: str, head: nn.Module, given: Layers) -> ClassLogits:
    layers, at_test = (tuple({id(layer): layer for layer in each}.values()) for each in given)
    num_classes = num_object_classes(head)
    activation, channels = _activation(head)
    for layer in layers:
        if not _channels(layer) or _channels(layer) % channels:
            raise BadInputError(
                f'model.{name}: {_path(head, layer)} has {_channels(layer)} channels, expected a '
                f'multiple of {channels} for num_classes={head.num_classes} and a {activation}'
            )
    return ClassLogits(name, head, layers, at_test, num_classes, channels - num_classes, activation)


def _activation(head: nn.Module) -> tuple[str, int]:
    """What makes scores of the logits, and how many of them there are for an anchor."""
    loss, known = getattr(head, 'loss_cls', None), _known_as(head)
    if known in _ROI_HEADS and getattr(loss, 'custom_cls_channels', False):
        sigmoid = getattr(loss, 'use_sigmoid', False)
        return 'sigmoid' if sigmoid else 'softmax', loss.get_cls_channels(head.num_classes)
    sigmoid = getattr(head, 'use_sigmoid_cls', getattr(loss, 'use_sigmoid', False))
    sigmoid = sigmoid and known not in _ROI_HEADS
    return ('sigmoid', head.num_classes) if sigmoid else ('softmax', head.num_classes + 1)


def _flat(module: nn.Module | None) -> list[nn.Module]:
    if isinstance(module, nn.ModuleList):
        return [layer for child in module for layer in _flat(child)]
    return [] if module is None else [module]


def _channels(layer: nn.Module | None) -> int:
    """Output channels of a convolution or linear layer, 0 of others."""
    if not isinstance(getattr(layer, 'weight', None), nn.Parameter):
        return 0
    return getattr(layer, 'out_channels', 0) or getattr(layer, 'out_features', 0)


def _knows_classes(module: nn.Module) -> bool:
    number = getattr(module, 'num_classes', None)
    return isinstance(number, int) and number > 1


def _path(head: nn.Module, layer: nn.Module) -> str:
    return next((name for name, module in head.named_modules() if module is layer), 'a layer')
