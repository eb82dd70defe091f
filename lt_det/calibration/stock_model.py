"""The model of MMDetection or MMPretrain that predicts what one of this package's predicts.

Adjustments are left out: they are folded into the weights (:mod:`.fold`). What is fast here and
exact (top-k NMS, class-indexed layers, lazy masks) becomes the stock part, with the same parameters
under the same names.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmdet.models.layers import normed_predictor
from mmdet.models.losses import EQLV2Loss
from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead, DIIHead
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import ConfigDict
from mmengine.registry import Registry
from mmpretrain.models.backbones import ResNet
from torch import Tensor
from torch.nn import functional as F

from ..errors import BadInputError
from ..models.any_detector.long_tail import long_tail
from ..models.losses.head_losses import complete_losses
from ..models.losses.sigmoid_head import SigmoidClassification

PACKAGE = __name__.partition('.')[0]

_ADJUSTED = ('adjustment', 'topk_nms', 'class_indexed_reg')
_SMCL = ('contrast', 'masked_weight', 'minor_power', 'target', 'masking')
# type here -> type there, and the keys that go
EQUAL: dict[str, tuple[str, tuple[str, ...]]] = {
    'ClassIndexedHTCMaskHead': ('HTCMaskHead', ('lazy_masks',)),
    'ClassIndexedMaskHead': ('FCNMaskHead', ('lazy_masks', 'rois_at_once')),
    'FASABBoxHead': ('ConvFCBBoxHead', (*_ADJUSTED, 'fasa', 'fasa_weight')),
    'Float32RoIExtractor': ('SingleRoIExtractor', ()),
    'LDAMLoss': ('CrossEntropyLoss', ('loss', 'max_margin', 'scale', 'num_classes')),
    'LongTailBBoxHead': ('ConvFCBBoxHead', _ADJUSTED),
    'LongTailClsHead': ('LinearClsHead', ('adjustment', 'cls_predictor_cfg', 'train_predictor')),
    'LongTailSeesawLoss': ('SeesawLoss', ()),
    'MultiViewDataPreprocessor': ('ClsDataPreprocessor', ()),
    'QuickRPNHead': ('RPNHead', ()),
    'QuickRandomSampler': ('RandomSampler', ()),
    'SMCLClassifier': ('ImageClassifier', _SMCL),
    'VectorizedMaxIoUAssigner': ('MaxIoUAssigner', ()),
}
# backbones that no other package has: they stay, and with them this package
STAY = ('CIFARResNet', 'CIFARSEResNet', 'LongTailResNet')
REFUSED = {
    'CAMCClsHead': 'classifies features that it calibrates itself',
    'CAMCalibratedRoIHead': 'calibrates the features that are classified itself',
    'TextClsHead': 'classifies by texts and has no weights of classes',
}
# keys of predictors in heads -> the layer of the head
_PREDICTORS = {'cls_predictor_cfg': 'fc_cls', 'reg_predictor_cfg': 'fc_reg'}
_PREDICTORS['predictor_cfg'] = 'conv_logits'


@dataclass
class StockModel:
    """A stock model and what has to be known to give it weights.

    Args:
        config: Of the model.
        weights: Tensors that take the place of those of the checkpoint, by name.
        needs: Parts that no other package has, in words; empty for a model that is all stock.
    """

    config: ConfigDict
    weights: dict[str, Tensor] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)


def stock_model(
    model: Mapping, state: Mapping[str, Tensor], registry: Registry = MODELS
) -> StockModel:
    """The stock model of a model config.

    Args:
        model: Config of a detector of MMDetection, through ``LongTail`` or not, or of a classifier.
        state: Its weights, which have the temperatures that were learned.
        registry: Where its types are.

    Raises:
        BadInputError: A part of it computes what no stock part computes.
    """
    model = ConfigDict(model)
    if _name(model.get('type')) == 'LongTail':
        detector = model.pop('detector')
        for key in inspect.signature(long_tail).parameters:
            model.pop(key, None)
        model['type'] = detector
    if registry is MODELS:
        model = complete_losses(model)
    stock = StockModel(model)
    stock.config = _Conversion(stock, state, registry).convert(model, '')
    return stock


def is_own(kind: Any) -> bool:
    """Whether a class or function is of this package, and there is no stock one of its name."""
    if not _in_package(kind):
        return False
    bases = kind.__mro__[1:] if inspect.isclass(kind) else ()
    return not any(base.__name__ == kind.__name__ and not _in_package(base) for base in bases)


def named(kind: Any) -> Any:
    """The type of a config as text: classes, as new-style configs have them, by their path."""
    if isinstance(kind, str) or kind is None:
        return kind
    return f'{kind.__module__}.{kind.__qualname__}'


class _Conversion:
    """Walks a model config; paths are those of the modules in the built model."""

    def __init__(self, stock: StockModel, state: Mapping[str, Tensor], registry: Registry) -> None:
        self.stock, self.state, self.registry = stock, state, registry

    def convert(self, node: Any, path: str) -> Any:
        if isinstance(node, (list, tuple)):
            return type(node)([self.convert(part, _join(path, n)) for n, part in enumerate(node)])
        if not isinstance(node, dict):
            return node
        kind = self._kind(node)
        converted = ConfigDict()
        for key, value in self._stock_keys(ConfigDict(node), kind, path).items():
            if key == 'type':
                converted[key] = named(value)
            elif key in _PREDICTORS and isinstance(value, dict):
                converted[key] = self._predictor(value, _join(path, _PREDICTORS[key]))
            elif key == 'loss_cls' and _is_sigmoid(self._kind(value)):
                converted[key] = self._loss(value, node, kind)
            elif key == 'loss' and is_own(self._kind(value)):
                pass  # of a classifier, which predicts by one softmax with any
            else:
                converted[key] = self.convert(value, _join(path, key))
        return converted

    def _kind(self, node: Any) -> Any:
        kind = node.get('type') if isinstance(node, dict) else None
        if isinstance(kind, str):
            return self.registry.get(kind) or TASK_UTILS.get(kind)
        return kind

    def _stock_keys(self, node: ConfigDict, kind: Any, path: str) -> ConfigDict:
        """The node with the type that stands for its own, less the keys that go."""
        if inspect.isclass(kind) and issubclass(kind, CascadeRoIHead):
            _one_per_stage(node)
        if not is_own(kind):
            return node
        name, key = _name(node['type']), f'model.{_join(path, "type")}'
        if name == 'LongTailResNet' and node.get('depth') in ResNet.arch_settings:
            node['type'] = 'ResNet'
        elif name in STAY:
            self.stock.needs.append(f"{key} '{name}'")
        elif name in EQUAL:
            if name == 'LongTailClsHead':
                self._classifier(node, path)
            node['type'], gone = EQUAL[name]
            for each in gone:
                node.pop(each, None)
        else:
            reason = REFUSED.get(name, 'computes what no part of MMDetection or MMPretrain does')
            raise BadInputError(
                f"{key} is '{name}', which {reason}: only this package runs it, with the rule in "
                'its config'
            )
        return node

    def _loss(self, loss: dict, head: dict, kind: Any) -> ConfigDict:
        """The stock loss of which a head makes the same scores: independent sigmoids."""
        if not (inspect.isclass(kind) and issubclass(kind, BBoxHead)) or issubclass(kind, DIIHead):
            return ConfigDict(type='CrossEntropyLoss', use_sigmoid=True)
        if issubclass(self._kind(loss), EQLV2Loss) and loss.get('test_with_obj', True):
            raise BadInputError(
                f"bbox_head.loss_cls.type is '{_name(loss['type'])}', whose scores are products "
                'with that of an object, which no head of MMDetection computes'
            )
        return ConfigDict(
            type='CrossEntropyCustomLoss', use_sigmoid=True, num_classes=head['num_classes']
        )

    def _predictor(self, config: dict, path: str) -> dict:
        """The stock layer: a learned temperature becomes a number, each classifier has a bias."""
        new = ConfigDict(config)
        kind, name = self._kind(new), _name(new.get('type'))
        if name == 'CosineLinear':
            new = self._cosine(new, path)
        elif inspect.isclass(kind) and issubclass(
            kind, (normed_predictor.NormedLinear, normed_predictor.NormedConv2d)
        ):
            new.pop('learn_temperature', None)
            given = [new.pop(key, None) for key in ('temperature', 'tempearture')]
            value = self._learned(path, next((v for v in given if v is not None), 20.0))
            new.update(type=name, **{temperature_key(): value})
        elif is_own(kind):
            raise BadInputError(f"{path} is a '{name}', which only this package can run")
        new['type'] = named(new['type'])
        if path.endswith('fc_cls'):
            new.pop('bias', None)
            self._add_bias(path)
        return new

    def _cosine(self, config: ConfigDict, path: str) -> ConfigDict:
        scale = self._learned(path, config.get('scale', 20.0))
        if not config.get('normalize_features', True):
            self._normalise(path, scale)
            return ConfigDict(type='Linear')
        # eps is added to the norms there; so small, it changes none in float32
        return ConfigDict(type='NormedLinear', eps=1e-12, **{temperature_key(): scale})

    def _classifier(self, node: dict, path: str) -> None:
        """What ``LongTailClsHead`` has in place of the ``fc`` of LinearClsHead."""
        config, path = node.get('cls_predictor_cfg') or dict(type='Linear'), _join(path, 'fc')
        name = _name(config.get('type'))
        if name == 'CosineLinear' and not config.get('normalize_features', True):
            self._normalise(path, self._learned(path, config.get('scale', 20.0)))
        elif name != 'Linear':
            raise BadInputError(
                f"model.{path} is a '{name}': the heads of MMPretrain that a rule can be folded "
                'into classify by a plain linear layer'
            )
        self._add_bias(path)

    def _add_bias(self, path: str) -> None:
        """A bias of zeros for a layer without one, for a rule that shifts."""
        weight = self.state.get(f'{path}.weight')
        if weight is not None and f'{path}.bias' not in self.state:
            self.stock.weights[f'{path}.bias'] = weight.new_zeros(len(weight))

    def _normalise(self, path: str, scale: float) -> None:
        """Weights of a plain layer that computes ``scale x . w / |w|``."""
        weight = self.state[f'{path}.weight']
        self.stock.weights[f'{path}.weight'] = scale * F.normalize(weight, dim=-1)

    def _learned(self, path: str, given: float) -> float:
        """The factor of a layer: the square of a parameter, or the number of its config."""
        for key in ('root_scale', 'root_temperature'):
            if f'{path}.{key}' in self.state:
                return self.state[f'{path}.{key}'].double().square().item()
        return float(given)


def temperature_key() -> str:
    """The name of the factor in the normalised layers of the installed MMDetection.

    In MMDetection up to 3.3 it is ``tempearture``.
    """
    arguments = inspect.signature(normed_predictor.NormedLinear.__init__).parameters
    return 'temperature' if 'temperature' in arguments else 'tempearture'


def _is_sigmoid(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, SigmoidClassification)


def _one_per_stage(node: ConfigDict) -> None:
    """Give each stage of a cascade a head config of its own."""
    for key in ('bbox_head', 'mask_head'):
        if isinstance(node.get(key), dict):
            node[key] = [ConfigDict(node[key]) for _ in range(node['num_stages'])]


def _join(path: str, key: str | int) -> str:
    return f'{path}.{key}' if path else str(key)


def _name(kind: Any) -> str:
    """The bare name of a type, given as a text with or without scope or module, or as a class."""
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    return name.rpartition('.')[2]


def _in_package(kind: Any) -> bool:
    return getattr(kind, '__module__', '').partition('.')[0] == PACKAGE
