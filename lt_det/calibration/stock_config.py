"""The config with which stock MMDetection or MMPretrain tests a folded checkpoint."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import LVISV05Dataset, LVISV1Dataset
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from torch import Tensor

from ..config_parts import annotation_file
from ..errors import BadInputError, DataWarning
from ..formats.annotation_cache import load_columns
from ..label_order import order_in_json
from .choice import Choice
from .stock_model import PACKAGE, StockModel, is_own, named, stock_model

# what a test reads; training begins from the checkpoint that was folded, not from this one
KEPT = (
    'default_scope',
    'custom_imports',
    'data_preprocessor',
    'model',
    'test_pipeline',
    'test_dataloader',
    'test_cfg',
    'test_evaluator',
    'default_hooks',
    'env_cfg',
    'vis_backends',
    'visualizer',
    'log_processor',
    'log_level',
)
_LVIS = {'LVISV1Dataset': LVISV1Dataset, 'LVISV05Dataset': LVISV05Dataset}


def stock_config(
    config: Config, choice: Choice, state: Mapping[str, Tensor]
) -> tuple[Config, StockModel]:
    """The stock config, for testing alone, and the model in it.

    Data sets and metrics become those of MMDetection or MMPretrain: for LVIS the LVIS ones, for
    other files CocoDataset, with LVISMetric where they are there and federated, or else
    CocoMetric; for classifiers CustomDataset and Accuracy.

    Args:
        config: What the detector was calibrated with.
        choice: Of the calibration.
        state: The weights.

    Raises:
        BadInputError: The config has no model or no test data, or something of this package for
            which there is no stock part.
    """
    for key in ('model', 'test_dataloader'):
        if not config.get(key):
            raise BadInputError(f'the config has no {key}; expected one that lt_det test takes')
    registry = models_of(choice.kind)
    model = stock_model(config.model, state, registry)
    parts = {key: _plain(config[key]) for key in KEPT if key in config}
    parts['model'] = model.config
    if 'data_preprocessor' in parts:
        preprocessor = stock_model(parts['data_preprocessor'], {}, registry)
        parts['data_preprocessor'] = preprocessor.config
    parts['custom_imports'] = _imports(parts.get('custom_imports'), model.needs)
    if not parts['custom_imports']:
        del parts['custom_imports']
    convert = _Converter(choice)
    for key in ('test_pipeline', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        if key in parts:
            parts[key] = convert(parts[key], key)
    parts['default_hooks'] = {
        name: hook
        for name, hook in (parts.get('default_hooks') or {}).items()
        if not _is_own_name(hook)
    }
    return Config(ConfigDict(parts)), model


_PLAIN = re.compile(rb'(?!\xef\xbb\xbf)\S(.*\S)? \d+')  # lines of lists as MMPretrain's own


class _Converter:
    """What stands for the data sets, transforms and metrics of this package."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.lvis = next(
            (name for name, kind in _LVIS.items() if _same_classes(kind, choice.classes)), None
        )

    def __call__(self, node: Any, key: str) -> Any:
        if isinstance(node, (list, tuple)):
            return type(node)([self(part, f'{key}.{n}') for n, part in enumerate(node)])
        if not isinstance(node, dict):
            return node
        if _is_own_name(node):
            name = named(node['type']).rpartition('.')[2]
            if name not in _STOCK:
                raise BadInputError(
                    f"{key}.type is '{name}', for which MMDetection and MMPretrain have nothing "
                    'that does the same; expected test data as a json or a list'
                )
            node = _STOCK[name](self, dict(node))
        return {
            name: self(value, f'{key}.{name}')
            for name, value in node.items()
            if not (name == 'worker_init_fn' and _is_own_name(value))
        }

    def detection_data(self, node: dict) -> dict:
        node = _without(node, 'cache', 'check_images', 'metainfo')
        node['data_prefix'] = {'img': '', **node.get('data_prefix', {})}
        if self.lvis is not None:
            return {**node, 'type': self.lvis}
        metainfo = dict(classes=list(self.choice.classes), palette=palette(self.choice.num_classes))
        node = {**node, 'type': 'CocoDataset', 'metainfo': metainfo}
        self._warn_of_another_order(node)
        return node

    def _warn_of_another_order(self, node: dict) -> None:
        """Where the json of a CocoDataset orders its categories otherwise than the model."""
        there = order_in_json(node, self.choice.classes) or ()
        for label, (ours, theirs) in enumerate(zip(self.choice.classes, there)):
            if ours != theirs:
                warnings.warn(
                    f'{annotation_file(node)}: categories are in another order than the classes of '
                    f'the model, and MMDetection would take label {label}, {ours!r}, for '
                    f'{theirs!r}: the stock config cannot be scored on that file; expected one in '
                    'the order of the model',
                    DataWarning,
                    stacklevel=2,
                )
                return

    def detection_metric(self, node: dict) -> dict:
        metric = node.get('metric', 'bbox')
        metric = [metric] if isinstance(metric, str) else list(metric)
        return dict(
            type='LVISMetric' if self._is_federated(node['ann_file']) else 'CocoMetric',
            ann_file=node['ann_file'],
            metric=[name for name in metric if name != 'boundary'] or ['bbox'],
            backend_args=node.get('backend_args'),
        )

    def _is_federated(self, path: str) -> bool:
        if self.lvis is not None:
            return True
        if not Path(path).is_file():
            return False
        columns = load_columns(path, make_cache=False)
        if columns.federated and list(columns.category_names) != list(self.choice.classes):
            warnings.warn(
                f'{path} is federated, and the model has not all of its classes: no metric of '
                'MMDetection can judge by it; the stock config predicts all the same',
                DataWarning,
                stacklevel=2,
            )
        return columns.federated

    def list_data(self, node: dict) -> dict:
        node = _without(node, 'num_classes', 'check_images', 'classes', 'metainfo')
        path = Path(annotation_file(node) or '')
        lines = path.read_bytes().splitlines() if path.is_file() else []
        odd = [number for number, line in enumerate(lines, 1) if not _PLAIN.fullmatch(line)]
        if odd:
            warnings.warn(
                f'{path}: line {odd[0]} ({len(odd)} such lines) is none that MMPretrain reads, '
                'which asks for a path, one space and a label, without byte order mark and empty '
                'lines: the stock config cannot be scored on that list',
                DataWarning,
                stacklevel=2,
            )
        return {**node, 'type': 'CustomDataset', 'classes': list(self.choice.classes)}

    def cifar(self, node: dict) -> dict:
        name = node['type'].rpartition('.')[2].removesuffix('LT')
        node = _without(node, 'imbalance_factor', 'imbalance_shape', 'seed')
        return {**node, 'type': name}

    def annotations(self, node: dict) -> dict:
        return {**_without(node, 'maskless'), 'type': 'LoadAnnotations'}

    def accuracy(self, node: dict) -> dict:
        return dict(type='Accuracy', topk=(1,))


_STOCK: dict[str, Callable[[_Converter, dict], dict]] = {
    'CIFAR100LT': _Converter.cifar,
    'CIFAR10LT': _Converter.cifar,
    'ListFileDataset': _Converter.list_data,
    'LoadCompactAnnotations': _Converter.annotations,
    'LongTailAccuracy': _Converter.accuracy,
    'LongTailLVISDataset': _Converter.detection_data,
    'LongTailLVISMetric': _Converter.detection_metric,
}


def _same_classes(kind: type, classes: Sequence[str]) -> bool:
    """Whether classes are those of a data set, but for some that are spelled differently."""
    names = kind.METAINFO['classes']
    same = sum(a == b for a, b in zip(names, classes, strict=False))
    return len(names) == len(classes) and same > 0.95 * len(names)


def palette(number: int) -> list[tuple[int, int, int]]:
    """Colours (R, G, B) that neighbours in a list of classes do not share.

    A data set has COCO's 80 by default, and pictures of more classes fail.
    """
    return [((37 * n) % 256, (97 * n + 85) % 256, (157 * n + 170) % 256) for n in range(number)]


def models_of(kind: str) -> Registry:
    if kind == 'detector':
        from mmdet.registry import MODELS
    else:
        from mmpretrain.registry import MODELS
    return MODELS


def _is_own_name(node: Any) -> bool:
    """Whether the type of a config is of this package."""
    kind = node.get('type') if isinstance(node, dict) else None
    if kind is None:
        return False
    if not isinstance(kind, str):
        return is_own(kind)
    kinds = [registry.get(kind) for registry in _registries()]
    kinds = [each for each in kinds if each is not None]
    return bool(kinds) and all(map(is_own, kinds))


def _registries() -> list[Registry]:
    import mmdet.registry
    import mmengine.registry
    import mmpretrain.registry

    packages = (mmdet.registry, mmpretrain.registry, mmengine.registry)
    names = ('DATASETS', 'TRANSFORMS', 'METRICS', 'HOOKS', 'DATA_SAMPLERS', 'LOOPS', 'FUNCTIONS')
    return [
        getattr(package, name) for package in packages for name in names if hasattr(package, name)
    ]


def _imports(given: Any, needs: Sequence[str]) -> dict | None:
    """``custom_imports`` without this package, unless a part is needed that no other has."""
    given = dict(given or {})
    modules = given.get('imports', [])
    modules = [modules] if isinstance(modules, str) else list(modules)
    kept = [module for module in modules if module.partition('.')[0] != PACKAGE]
    kept += [PACKAGE] if needs else []
    return {**given, 'imports': kept} if kept else None


def _plain(value: Any) -> Any:
    """Without lazy objects and classes: types as text."""
    if isinstance(value, dict):
        return {key: named(each) if key == 'type' else _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value


def _without(node: dict, *keys: str) -> dict:
    return {key: value for key, value in node.items() if key not in keys}
