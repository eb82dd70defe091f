"""Box-counting dimension of where the boxes of a class lie in the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dataset_parts import items_of, learned_instances

MIN_BOXES = 4  # for two grids with g^2 <= n


def box_counting_dimension(
    centres: np.ndarray, labels: np.ndarray, num_classes: int, grids: int = 64
) -> np.ndarray:
    """Dimension of each class: 2 if its boxes fill the image, 1 if they lie on a line.

    The slope of ln N(g) over ln g, by least squares, over the grids of g x g cells with g <= grids
    and ``g^2 <= n_c``, where N(g) is the number of cells with a box centre of the class
    (Alexandridis et al., FRACAL, CVPR 2025). Classes with fewer than 4 boxes or a slope below 1
    get 1.

    Args:
        centres: (A, 2) box centres in units of the image's width and height, in 0..1.
        labels: (A,) classes in [0, C).
        num_classes: C.
        grids: Largest g.

    Returns:
        (C,) float64 in [1, 2], but for fluctuations above 2.
    """
    count = np.bincount(labels, minlength=num_classes)
    largest = np.minimum(np.sqrt(count).astype(np.int64), grids)  # largest g of each class
    log_grid = np.log(np.arange(1, grids + 1))
    log_occupied = np.zeros((grids, num_classes))
    for g in range(2, int(largest.max(initial=1)) + 1):
        used = largest[labels] >= g
        column, row = np.clip((centres[used] * g).astype(np.int64), 0, g - 1).T
        cells = np.unique((labels[used] * g + row) * g + column)
        occupied = np.bincount(cells // g**2, minlength=num_classes)
        log_occupied[g - 1] = np.log(np.maximum(occupied, 1))
    dimension = np.ones(num_classes)
    for label in np.flatnonzero(count >= MIN_BOXES):
        x, y = log_grid[: largest[label]], log_occupied[: largest[label], label]
        slope = ((x - x.mean()) * y).sum() / np.square(x - x.mean()).sum()
        dimension[label] = max(slope, 1.0)
    return dimension


def box_dimension_of(dataset: Any, grids: int = 64) -> np.ndarray:
    """:func:`box_counting_dimension` (C,) of an MMDetection data set, wrapped or not.

    Repeated images count once, and instances that training ignores do not. Where all items of a
    LongTailLVISDataset are shown, the whole annotation file counts, as in its ``class_frequency``.
    """
    items = items_of(dataset)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for number, part in enumerate(items.parts):
        shown = items.of_part(number)
        whole = hasattr(part, 'learned_annotations') and len(shown) == len(part)
        parts.append(_from_columns(part) if whole else _by_item(part, shown.tolist()))
    centres, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    return box_counting_dimension(centres, labels, len(items.parts[0].metainfo['classes']), grids)


def _by_item(dataset: Any, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Centres (A, 2) and labels (A,) of what training learns of any MMDetection data set."""
    centres: list[np.ndarray] = [np.zeros((0, 2))]
    labels: list[np.ndarray] = [np.zeros(0, np.int64)]
    for index in indices:
        item = dataset.get_data_info(index)
        instances = learned_instances(item)
        boxes = np.array([instance['bbox'] for instance in instances])
        centres.append(boxes.reshape(-1, 2, 2).mean(1) / [item['width'], item['height']])
        of_item = [instance['bbox_label'] for instance in instances]
        labels.append(np.array(of_item, np.int64))
    return np.concatenate(centres), np.concatenate(labels)


def _from_columns(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same of LongTailLVISDataset, without making its items."""
    columns = dataset.columns
    arrays = columns.arrays
    label_of = np.array([dataset.cat2label.get(c['id'], -1) for c in columns.categories])
    labels = label_of[arrays['category']]
    used = dataset.learned_annotations()
    size = np.repeat(arrays['image_size'], np.diff(arrays['annotation_start']), axis=0)
    corner, extent = arrays['bbox'][used, :2], arrays['bbox'][used, 2:]
    return (corner + extent / 2) / size[used, ::-1], labels[used]
