"""Class names in the order of labels, where a config has them in another.

MMDetection's ``CocoDataset`` numbers labels in the order of the categories of its json, whatever
that of ``metainfo['classes']``. Nothing of its own notices, as training and its COCO evaluation
number them alike. Whoever takes class k to be ``classes[k]`` would read another class.
"""

from __future__ import annotations

import os.path as osp
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .config_parts import annotation_file, lvis_metric, plain_dataset
from .errors import BadInputError, DataWarning
from .formats.json_file import read_json


def label_order(cfg: Mapping, names: Sequence[str]) -> tuple[str, ...]:
    """The names of classes in the order of the labels that a detector learns.

    Args:
        cfg: The whole config.
        names: Of its classes.

    Returns:
        ``names``, in the order of the training json where the training set is a CocoDataset. Where
        that is not there, the json of validation or test tells the order.
    """
    training = plain_dataset(cfg, 'train_dataloader')
    if training is None or numbers_by_json(training):
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            found = _order_of(plain_dataset(cfg, loader), names)
            if found is not None:
                return found
    return tuple(names)


def check_order(cfg: Mapping, part: str) -> None:
    """Refuse an evaluation that would take the labels of the model for other classes.

    Args:
        cfg: The whole config, behind :func:`put_in_label_order`.
        part: ``'val'`` or ``'test'``.

    Raises:
        BadInputError: Its json has the categories in another order than training, and its metric
            goes by the order.
    """
    dataset = plain_dataset(cfg, f'{part}_dataloader') or {}
    written = (dataset.get('metainfo') or {}).get('classes')
    if lvis_metric(cfg, f'{part}_evaluator') or not isinstance(written, (list, tuple)):
        return
    found = _order_of(dataset, written)
    if found is not None and found != tuple(written):
        label = next(k for k, pair in enumerate(zip(written, found)) if pair[0] != pair[1])
        raise BadInputError(
            f'{annotation_file(dataset)}: categories are in another order than in training, by '
            f'which CocoDataset numbers labels: label {label} is {found[label]!r}, in training '
            f'{written[label]!r}; expected the same order, or {part}_evaluator.type='
            "'LongTailLVISMetric', which goes by the names"
        )


def _order_of(dataset: Mapping | None, names: Sequence[str]) -> tuple[str, ...] | None:
    """The names as the json of a CocoDataset orders them; None where it has others or is none."""
    path = annotation_file(dataset)
    if path is None or not numbers_by_json(dataset) or not osp.isfile(path):
        return None
    content = read_json(path)
    categories = content.get('categories') if isinstance(content, dict) else None
    wanted = set(names)
    named = [one.get('name') for one in categories or () if isinstance(one, dict)]
    found = tuple(name for name in named if name in wanted)
    return found if sorted(found) == sorted(names) else None


def put_in_label_order(cfg: Mapping) -> None:
    """Rewrite the ``metainfo['classes']`` of a config whose order is not that of the labels."""
    training = plain_dataset(cfg, 'train_dataloader') or plain_dataset(cfg, 'test_dataloader') or {}
    written = (training.get('metainfo') or {}).get('classes')
    if not numbers_by_json(training) or not isinstance(written, (list, tuple)):
        return
    names = label_order(cfg, written)
    if names == tuple(written):
        return
    label = next(k for k, pair in enumerate(zip(written, names)) if pair[0] != pair[1])
    warnings.warn(
        "metainfo['classes'] of the config is not in the order of the json, by which CocoDataset "
        f'numbers labels: label {label} is {names[label]!r}, not {written[label]!r}; the names are '
        'taken in the order of the json',
        DataWarning,
        stacklevel=2,
    )
    for metainfo in _with_classes(list(cfg.values())):
        theirs = list(metainfo['classes'])
        if sorted(theirs) != sorted(names):
            continue
        order = [theirs.index(name) for name in names]
        for key in ('classes', 'palette'):
            if isinstance(metainfo.get(key), (list, tuple)) and len(metainfo[key]) == len(order):
                metainfo[key] = [metainfo[key][number] for number in order]


def numbers_by_json(dataset: Mapping | None) -> bool:
    """Whether the config of a data set is of one whose labels follow its json."""
    return str((dataset or {}).get('type')).rpartition('.')[2] == 'CocoDataset'


def _with_classes(part: Any) -> Iterator[Any]:
    """Every ``metainfo`` with a list of classes, at any depth of a config."""
    if isinstance(part, Mapping):
        metainfo = part.get('metainfo')
        if isinstance(metainfo, Mapping) and isinstance(metainfo.get('classes'), (list, tuple)):
            yield metainfo
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for one in part:
            yield from _with_classes(one)
