"""Class names in the order of labels, where a config has them in another.

MMDetection's ``CocoDataset`` numbers labels in the order of the categories of its json, whatever
that of ``metainfo['classes']``. Nothing of its own notices, as training and its COCO evaluation
number them alike. Whoever takes class k to be ``classes[k]`` would read another class.
"""

from __future__ import annotations

import os
import os.path as osp
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from io import StringIO
from typing import Any

from .config_parts import annotation_file, lvis_metric, plain_datasets
from .errors import BadInputError, DataWarning, listed
from .formats.json_file import read_json

_BY_ID = ('LongTailLVISDataset', 'LVISDataset', 'LVISV1Dataset', 'LVISV05Dataset')
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def label_order(cfg: Mapping, names: Sequence[str]) -> tuple[str, ...]:
    """The names of classes in the order of the labels that a detector learns.

    Args:
        cfg: The whole config.
        names: Of its classes.

    Returns:
        ``names``, in the order of the training json where the training set is a CocoDataset. Where
        that is not there, the json of validation or test tells the order; where no json is, a
        warning says so.
    """
    if plain_datasets(cfg, 'train_dataloader') and not follow_json(cfg):
        return tuple(names)
    datasets = _that_tell(cfg)
    found = _first_order(datasets, names)
    if found is not None:
        return found
    paths = dict.fromkeys(annotation_file(dataset) or '' for dataset in datasets)
    if paths and not any(osp.isfile(path) for path in paths):
        warnings.warn(
            f'none of {", ".join(map(str, paths))} is there, by which CocoDataset numbers labels; '
            "labels are taken to have the order of metainfo['classes'], which may be another",
            DataWarning,
            stacklevel=2,
        )
    return tuple(names)


def _that_tell(cfg: Mapping) -> list[Mapping]:
    """Configs of data sets whose json may tell the order, that of the training first."""
    return [d for loader in _LOADERS for d in plain_datasets(cfg, loader) if numbers_by_json(d)]


def _first_order(datasets: Sequence[Mapping], names: Sequence[str]) -> tuple[str, ...] | None:
    orders = (order_in_json(dataset, names) for dataset in datasets)
    return next((order for order in orders if order is not None), None)


def first_moved(names: Sequence[str], known: Sequence[str]) -> int | None:
    """The first label whose class has another label in a second list; None where all agree.

    Classes that are in one of the lists alone, as under another spelling, move nothing.
    """
    label_of = {name: label for label, name in enumerate(known)}
    moved = (k for k, name in enumerate(names) if label_of.get(name, k) != k)
    return next(moved, None)


def check_categories(cfg: Mapping, part: str) -> None:
    """Refuse a json of CocoDataset without some of the classes: it would shift all labels behind.

    A test on such a json is one of the same labels where the training json lacks the same.

    Args:
        cfg: The whole config.
        part: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        BadInputError: Names the json, the first class that it lacks and what it has.
    """
    for dataset in plain_datasets(cfg, f'{part}_dataloader'):
        names, there = classes_of(dataset), _categories(dataset)
        if names is None or there is None or set(names) <= set(there):
            continue
        shown = [name for name in there if name in set(names)]
        trained = plain_datasets(cfg, 'train_dataloader') if part != 'train' else ()
        if shown and any(_present(other, names) == shown for other in trained):
            continue
        raise without_categories(dataset, f'{part}_dataloader.dataset', there)


def without_categories(dataset: Mapping, key: str, there: Sequence[str]) -> BadInputError:
    """What to say of a data set whose json lacks some of its classes.

    Args:
        dataset: Its config.
        key: Where that stands.
        there: Names of the categories in its json.
    """
    names = classes_of(dataset) or ()
    missing = [name for name in names if name not in set(there)]
    lacks = (
        f'{annotation_file(dataset)} has no category {missing[0]!r} '
        f'({len(missing)} of {len(names)} are missing)'
    )
    expected = f'expected the names of that file: {listed(there)}'
    if (dataset.get('metainfo') or {}).get('classes') is None:
        kind = str(getattr(dataset.get('type'), '__name__', dataset.get('type')))
        return BadInputError(
            f'{key}.metainfo has no classes, so that those of {kind} are taken, but {lacks}; '
            f'{expected}'
        )
    return BadInputError(
        f'{key}.metainfo.classes is not of the file: {lacks}, so that all labels behind it would '
        f'be those of other classes; {expected}'
    )


def check_order(cfg: Mapping, part: str) -> None:
    """Refuse an evaluation that would take the labels of the model for other classes.

    Args:
        cfg: The whole config, behind :func:`put_in_label_order`.
        part: ``'val'`` or ``'test'``.

    Raises:
        BadInputError: Its json has the categories in another order than training, and its metric
            goes by the order; or see :func:`check_categories`.
    """
    check_categories(cfg, part)
    if lvis_metric(cfg, f'{part}_evaluator'):
        return
    for dataset in plain_datasets(cfg, f'{part}_dataloader'):
        written = (dataset.get('metainfo') or {}).get('classes')
        if not isinstance(written, (list, tuple)):
            continue
        found = order_in_json(dataset, written)
        if found is None or found == tuple(written):
            continue
        label = next(k for k, pair in enumerate(zip(written, found)) if pair[0] != pair[1])
        raise BadInputError(
            f'{annotation_file(dataset)}: categories are in another order than in training, by '
            f'which CocoDataset numbers labels: label {label} is {found[label]!r}, in training '
            f'{written[label]!r}; expected the same order, or {part}_evaluator.type='
            "'LongTailLVISMetric', which goes by the names"
        )


def order_in_json(dataset: Mapping | None, names: Sequence[str]) -> tuple[str, ...] | None:
    """The names as the json of a CocoDataset orders them; None where it has others or is none."""
    found = _present(dataset, names)
    return tuple(found) if found is not None and sorted(found) == sorted(names) else None


def _present(dataset: Mapping | None, names: Sequence[str]) -> list[str] | None:
    """Those of the names that the json of a CocoDataset has, in its order."""
    there, wanted = _categories(dataset), set(names)
    return None if there is None else [name for name in there if name in wanted]


def _categories(dataset: Mapping | None) -> list[str] | None:
    """Names of the categories in the json of a CocoDataset; None where it is not one, or none."""
    path = annotation_file(dataset)
    if path is None or not numbers_by_json(dataset) or not osp.isfile(path):
        return None
    state = os.stat(path)
    return _names_in(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _names_in(path: str, *state: int) -> list[str]:
    """Names of the categories of a json, which is read once while it stays as it is."""
    content = read_json(path)
    categories = content.get('categories') if isinstance(content, dict) else None
    return [str(one.get('name')) for one in categories or () if isinstance(one, dict)]


def put_in_label_order(cfg: Mapping) -> None:
    """Rewrite the classes of data sets whose order in a config is not that of the labels."""
    training = plain_datasets(cfg, 'train_dataloader') or plain_datasets(cfg, 'test_dataloader')
    if not training or not all(map(numbers_by_json, training)):
        return
    written = classes_of(training[0])
    if written is None:
        return
    names = _first_order(_that_tell(cfg), written)
    if names is None or names == written:
        return
    label = next(k for k, pair in enumerate(zip(written, names)) if pair[0] != pair[1])
    warnings.warn(
        "metainfo['classes'] of the config, or of its data set, is not in the order of the json, "
        f'by which CocoDataset numbers labels: label {label} is {names[label]!r}, not '
        f'{written[label]!r}; the names are taken in the order of the json',
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
    for loader in _LOADERS:  # those whose names are of their type, or in a file
        for dataset in plain_datasets(cfg, loader):
            other = classes_of(dataset) if numbers_by_json(dataset) else None
            if other is not None and other != names and sorted(other) == sorted(names):
                dataset['metainfo'] = {**(dataset.get('metainfo') or {}), 'classes': list(names)}


def follow_json(cfg: Mapping) -> bool:
    """Whether the labels of a training are numbered by its json, whatever names are listed."""
    training = plain_datasets(cfg, 'train_dataloader')
    return bool(training) and all(map(numbers_by_json, training))


def numbers_by_json(dataset: Mapping | None) -> bool:
    """Whether the config of a data set is of one whose labels follow its json."""
    kind = (dataset or {}).get('type')
    name = str(kind).rpartition('.')[2]
    if name == 'CocoDataset':
        return True
    # registries are asked for no others: that imports all data sets
    if name in _BY_ID or not str(annotation_file(dataset)).endswith('.json'):
        return False
    kind = _class_of(kind)
    from mmdet.datasets import CocoDataset

    if not (isinstance(kind, type) and issubclass(kind, CocoDataset)):
        return False
    return getattr(kind, 'load_data_list', None) is CocoDataset.load_data_list


def classes_of(dataset: Mapping) -> tuple[str, ...] | None:
    """Names of the classes of a data set by its config, else by its type; None without any."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None and numbers_by_json(dataset):
        classes = getattr(_class_of(dataset.get('type')), 'METAINFO', {}).get('classes')
    if isinstance(classes, str) and osp.isfile(classes):
        from mmengine.fileio import list_from_file

        classes = list_from_file(classes)  # as MMEngine does
    return tuple(classes) if isinstance(classes, (list, tuple)) else None


def _class_of(kind: Any) -> Any:
    """The class of a data set that a config names, None where there is none of that name."""
    with redirect_stdout(StringIO()):  # what packages print when they are imported
        from mmdet.registry import DATASETS

        return DATASETS.get(kind) if isinstance(kind, str) else kind


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
