"""What configs of MMDetection and MMPretrain say: data sets, metrics and types of parts."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping
from typing import Any


def classifies(cfg: Mapping) -> bool:
    """Whether a config is of MMPretrain."""
    return cfg.get('default_scope') == 'mmpretrain'


def plain_dataset(cfg: Mapping, loader: str) -> Mapping | None:
    """Config of the one data set of a loader that has an ``ann_file``, without wrappers.

    Args:
        cfg: The whole config.
        loader: Its key, as ``'test_dataloader'``.

    Returns:
        None where there is none, or several.
    """
    datasets = plain_datasets(cfg, loader)
    return datasets[0] if len(datasets) == 1 else None


def plain_datasets(cfg: Mapping, loader: str) -> list[Any]:
    """Configs of the data sets of a loader that have an ``ann_file``, without wrappers."""
    return _with_file((cfg.get(loader) or {}).get('dataset'))


def annotation_file(dataset: Mapping | None) -> str | None:
    """Path of the annotations of a data set, None without one."""
    if not dataset or not dataset.get('ann_file'):
        return None
    return osp.join(dataset.get('data_root') or '', dataset['ann_file'])


def image_folder(dataset: Mapping) -> str:
    """Folder below which a data set looks for images; empty where it has none."""
    prefix = dataset.get('data_prefix') or ''
    if isinstance(prefix, Mapping):
        prefix = prefix.get('img') or prefix.get('img_path') or ''
    return osp.join(dataset.get('data_root') or '', prefix)


def lvis_metric(cfg: Mapping, evaluator: str) -> Mapping:
    """Options of the LongTailLVISMetric of an evaluator, none where it has another metric."""
    metrics = cfg.get(evaluator) or []
    for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
        if str(metric.get('type')).endswith('LongTailLVISMetric'):
            return metric
    return {}


def with_types(cfg: Any, types: Mapping[type, type]) -> Any:
    """A copy of a config whose parts of some types, at any depth, are of others.

    Args:
        cfg: The config of a model, or any part of it.
        types: Of MMDetection, and those that take their place.
    """
    if isinstance(cfg, dict):
        new = type(cfg)({key: with_types(value, types) for key, value in cfg.items()})
        for old, other in types.items():
            if _names(new.get('type'), old):
                new['type'] = other
        return new
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(with_types(value, types) for value in cfg)
    return cfg


def _names(kind: Any, part: type) -> bool:
    """Whether a type is a part of MMDetection: by class, by name, or by path as in a dump."""
    if not isinstance(kind, str):
        return kind is part
    scope, _, name = kind.rpartition('.')
    return name == part.__name__ and scope.partition('.')[0] in ('', 'mmdet')


def _with_file(node: Any) -> list[Mapping]:
    if isinstance(node, Mapping):
        if node.get('ann_file'):
            return [node]
        return [datasets for value in node.values() for datasets in _with_file(value)]
    if isinstance(node, (list, tuple)):
        return [datasets for value in node for datasets in _with_file(value)]
    return []
