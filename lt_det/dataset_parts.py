"""What is inside a data set of wrappers: the plain data sets, and which of their items it shows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .errors import BadInputError, listed


class Items(NamedTuple):
    """The N items that a data set shows, in its order.

    Attributes:
        parts: The plain data sets, one per occurrence.
        part: (N,) which of them an item is from.
        index: (N,) its index there.
    """

    parts: list[Any]
    part: np.ndarray
    index: np.ndarray  # type: ignore[assignment]  # tuples have a method of this name

    def of_part(self, number: int) -> np.ndarray:
        """Ascending indices of that part that are shown at all, each once."""
        return np.unique(self.index[self.part == number])

    def labels(self, learned: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the instances of all items.

        Args:
            learned: Leave out instances that training ignores.

        Returns:
            (A,) positions in 0..N-1 and (A,) labels, those of an item next to each other.
        """
        positions, labels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for number, dataset in enumerate(self.parts):
            shown = np.flatnonzero(self.part == number)
            item, label = _labels_of(dataset, self.index[shown], learned)
            positions.append(shown[item])
            labels.append(label)
        return np.concatenate(positions), np.concatenate(labels)


def items_of(dataset: Any) -> Items:
    """Look through the wrappers of MMEngine, MMDetection, MMPretrain and torch, nested or not.

    ``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset``, ``KFoldDataset``,
    ``MultiImageMixDataset``, ``Subset``, and wrappers of others that keep the number of items or
    have MMEngine's ``_get_ori_dataset_idx``. A wrapper that tells neither counts as plain if it
    answers for its items itself.

    Raises:
        BadInputError: A wrapper shows items that it cannot be asked for, or joined parts number
            their classes differently.
    """
    items = _items_of(dataset)
    class_names(items.parts)
    return items


def class_names(parts: list[Any]) -> tuple[str, ...] | None:
    """The class names that all parts have, None where one has none.

    Raises:
        BadInputError: Two parts have other names or another order; labels are numbers, so training
            would take one class for another.
    """
    first: Any = None
    names: tuple[str, ...] = ()
    for part in parts:
        own = (getattr(part, 'metainfo', None) or {}).get('classes')
        if own is None:
            return None
        if first is None:
            first, names = part, tuple(own)
        elif tuple(own) != names:
            raise BadInputError(
                'the joined data sets number their classes differently: '
                + _difference(names, tuple(own), _name(first), _name(part))
            )
    return None if first is None else names


def _items_of(dataset: Any) -> Items:
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if hasattr(dataset, 'datasets'):
        return _joined([_items_of(part) for part in dataset.datasets])
    inner = getattr(dataset, 'dataset', None)
    if inner is None or isinstance(inner, (str, dict)):
        return _plain(dataset)
    items = _items_of(inner)
    chosen = _chosen(dataset, len(items.index))
    if chosen is None:
        return _plain(dataset)
    return Items(items.parts, items.part[chosen], items.index[chosen])


def _plain(dataset: Any) -> Items:
    size = len(dataset)
    return Items([dataset], np.zeros(size, np.int64), np.arange(size))


def _joined(all_items: list[Items]) -> Items:
    before = np.cumsum([0, *(len(items.parts) for items in all_items)])
    return Items(
        [part for items in all_items for part in items.parts],
        np.concatenate([items.part + start for items, start in zip(all_items, before)]),
        np.concatenate([items.index for items in all_items]),
    )


def _chosen(wrapper: Any, size: int) -> np.ndarray | slice | None:
    """Which of the ``size`` items inside it a wrapper shows; None: it does not tell."""
    for name in ('repeat_indices', 'indices'):  # ClassBalancedDataset; Subset
        if getattr(wrapper, name, None) is not None:
            return np.asarray(getattr(wrapper, name), np.int64)
    if not hasattr(wrapper, '__len__') or len(wrapper) == size:
        return slice(None)
    if hasattr(wrapper, '_get_ori_dataset_idx'):  # RepeatDataset
        return np.array([wrapper._get_ori_dataset_idx(i) for i in range(len(wrapper))], np.int64)
    if hasattr(wrapper, 'get_cat_ids') or hasattr(wrapper, 'get_data_info'):
        return None
    raise BadInputError(
        f'{type(wrapper).__name__} shows {len(wrapper)} items of the {size} of the data set inside '
        'it and does not tell which; expected a wrapper of MMEngine, or a method get_cat_ids(index)'
    )


def _labels_of(dataset: Any, indices: np.ndarray, learned: bool) -> tuple[np.ndarray, np.ndarray]:
    """Positions in ``indices`` (A,) and labels (A,)."""
    at_once = 'all_learned_cat_ids' if learned else 'all_cat_ids'
    if hasattr(dataset, at_once):
        return getattr(dataset, at_once)(indices)
    if hasattr(dataset, 'get_gt_labels'):
        labels = np.asarray(dataset.get_gt_labels(), np.int64)[indices]
        return np.arange(len(labels)), labels
    read = learned_cat_ids if learned else cat_ids
    of_item = {index: read(dataset, index) for index in np.unique(indices).tolist()}
    labels = [of_item[index] for index in indices.tolist()]
    item = np.repeat(np.arange(len(labels)), [len(of_item) for of_item in labels])
    return item, np.concatenate([[], *labels]).astype(np.int64)


def cat_ids(dataset: Any, index: int) -> list[int]:
    """Labels of an item of a plain data set, ignored instances among them."""
    if hasattr(dataset, 'get_cat_ids'):
        return dataset.get_cat_ids(index)
    return [instance['bbox_label'] for instance in dataset.get_data_info(index)['instances']]


def learned_cat_ids(dataset: Any, index: int) -> list[int]:
    """Labels of the instances of an item that training learns."""
    item = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    if 'instances' not in item:
        return cat_ids(dataset, index)
    return [instance['bbox_label'] for instance in learned_instances(item)]


def learned_instances(item: dict) -> list[dict]:
    """The instances of an item of MMDetection that training learns."""
    return [instance for instance in item['instances'] if not instance.get('ignore_flag')]


def _difference(ours: tuple, theirs: tuple, our_name: str, their_name: str) -> str:
    for (names, name), (others, other_name) in (
        ((ours, our_name), (theirs, their_name)),
        ((theirs, their_name), (ours, our_name)),
    ):
        more = [entry for entry in names if entry not in set(others)]
        if more:
            return (
                f'{name} has {listed(more, 3)}, which '
                f'{other_name} does not have; expected the same classes in each'
            )
    label = next(i for i, pair in enumerate(zip(ours, theirs)) if len(set(pair)) == 2)
    return (
        f'class {label} is {ours[label]!r} in {our_name} and {theirs[label]!r} in {their_name}; '
        'give both the same list in metainfo=dict(classes=[...])'
    )


def _name(dataset: Any) -> str:
    return str(getattr(dataset, 'ann_file', '') or type(dataset).__name__)
