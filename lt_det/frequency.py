"""Class statistics of a training set: the one source that every de-biasing rule reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .dataset_parts import items_of, learned_cat_ids
from .errors import BadInputError
from .formats.annotation_cache import load_columns
from .formats.annotation_columns import AnnotationColumns
from .formats.list_file import read_list_file

LVIS_BOUNDS = (10, 100)  # rare <= 10 < common <= 100 < frequent, in images (Gupta et al. 2019)
SHOT_BOUNDS = (20, 100)  # few < 20 <= medium <= 100 < many, in images (Liu et al. 2019)


class ClassFrequency:
    """How often each class occurs in a training set.

    Args:
        image_count: (C,) images that contain the class.
        instance_count: (C,) annotated instances. Default: ``image_count`` (classification).
        num_images: Images in the training set, those without annotation included. Default: the sum
            of ``image_count`` (one label per image).
        class_names: C names, for messages only.

    Raises:
        BadInputError: Negative or fractional counts, or lengths that differ.
    """

    def __init__(
        self,
        image_count: Sequence[int] | np.ndarray,
        instance_count: Sequence[int] | np.ndarray | None = None,
        num_images: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.image_count = _counts('image_count', image_count)
        self.instance_count = (
            self.image_count.copy()
            if instance_count is None
            else _counts('instance_count', instance_count)
        )
        self.num_images = int(self.image_count.sum() if num_images is None else num_images)
        self.class_names = None if class_names is None else tuple(class_names)
        for name, values in (
            ('instance_count', self.instance_count),
            ('class_names', self.class_names),
        ):
            if values is not None and len(values) != self.num_classes:
                raise BadInputError(
                    f'{name} has {len(values)} entries, image_count has {self.num_classes}'
                )
        if self.num_classes and self.num_images < self.image_count.max():
            raise BadInputError(
                f'num_images is {self.num_images}, but a class occurs in '
                f'{self.image_count.max()} images'
            )

    @property
    def num_classes(self) -> int:
        return len(self.image_count)

    @property
    def num_instances(self) -> int:
        return int(self.instance_count.sum())

    @property
    def empty_classes(self) -> list[str]:
        """Names (or labels, where there are no names) of the classes without a training image."""
        return [self.name_of(label) for label in np.flatnonzero(self.image_count == 0)]

    def name_of(self, label: int) -> str:
        return str(label) if self.class_names is None else self.class_names[label]

    def groups(self, scheme: str = 'lvis') -> np.ndarray:
        """(C,) group of each class by its training images.

        ``'lvis'``: r <= 10 < c <= 100 < f; ``'shot'``: few < 20 <= medium <= 100 < many.
        """
        count = self.image_count
        if scheme == 'lvis':
            return lvis_groups(count)
        if scheme == 'shot':
            few, medium = SHOT_BOUNDS
            return np.where(count < few, 'few', np.where(count <= medium, 'medium', 'many'))
        raise BadInputError(f"groups: scheme '{scheme}' does not exist; there are 'lvis', 'shot'")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassFrequency) and self.difference(other) is None

    __hash__ = None  # type: ignore[assignment]  # which is how Python says so

    def difference(self, other: ClassFrequency) -> str | None:
        """The first difference to ``other`` in words with both values, or None."""
        for name in ('num_classes', 'num_images'):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f'{name} {mine} against {theirs}'
        for name in ('image_count', 'instance_count'):
            mine, theirs = getattr(self, name), getattr(other, name)
            labels = np.flatnonzero(mine != theirs)
            if len(labels):
                label = labels[0]
                return (
                    f'{name} of class {self.name_of(label)} {mine[label]} against {theirs[label]} '
                    f'({len(labels)} of {self.num_classes} classes differ)'
                )
        return None

    def __repr__(self) -> str:
        groups, sizes = np.unique(self.groups('lvis'), return_counts=True)
        split = ', '.join(f'{size} {group}' for group, size in zip(groups, sizes, strict=True))
        return (
            f'ClassFrequency({self.num_classes} classes: {split}; {self.num_images} images, '
            f'{self.num_instances} instances)'
        )

    @classmethod
    def from_pairs(
        cls,
        images: Sequence[int] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        num_classes: int,
        num_images: int,
        class_names: Sequence[str] | None = None,
    ) -> ClassFrequency:
        """Count A annotations given as image ids (A,) and labels (A,) in [0, C)."""
        images = np.asarray(images, np.int64)
        labels = np.asarray(labels, np.int64)
        outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if len(outside):
            raise BadInputError(
                f'image {images[outside[0]]} has label {labels[outside[0]]}, '
                f'expected 0..{num_classes - 1}'
            )
        order = np.lexsort([labels, images])
        pairs = np.stack([images, labels])[:, order]
        is_first = np.append(True, (np.diff(pairs) != 0).any(0))[: len(order)]
        return cls(
            np.bincount(pairs[1, is_first], minlength=num_classes),
            np.bincount(labels, minlength=num_classes),
            num_images,
            class_names,
        )

    @classmethod
    def from_dataset(cls, dataset: Any) -> ClassFrequency:
        """Statistics of any MMDetection or MMPretrain data set, without the repetition of wrappers.

        A data set with a ``class_frequency`` of its own (``LongTailLVISDataset``: counted over the
        whole annotation file) is taken at its word where all its items are shown. Others, and
        subsets, are counted item by item, so images that they filtered out are not in
        ``num_images``, nor instances that training ignores in the counts.

        Raises:
            BadInputError: There are no class names, or joined parts number classes differently.
        """
        items = items_of(dataset)
        return _sum(
            [cls._from_part(part, items.of_part(number)) for number, part in enumerate(items.parts)]
        )

    @classmethod
    def _from_part(cls, dataset: Any, shown: np.ndarray) -> ClassFrequency:
        """Statistics of a plain data set, or of those of its items (N,)."""
        own = getattr(dataset, 'class_frequency', None)
        if own is not None and len(shown) == len(dataset):
            return own
        names = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        if names is None:
            raise BadInputError(f"{type(dataset).__name__} has no metainfo['classes']")
        labels = [learned_cat_ids(dataset, index) for index in shown.tolist()]
        images = np.repeat(np.arange(len(labels)), [len(of_item) for of_item in labels])
        return cls.from_pairs(images, np.concatenate([[], *labels]), len(names), len(labels), names)

    @classmethod
    def from_annotation_file(
        cls, path: str | Path, num_classes: int | None = None
    ) -> ClassFrequency:
        """Statistics of an LVIS or COCO json (categories by id), or of a "path label" list file.

        Of a json, annotations count that training learns from: with a box that can be used, and
        neither ``ignore`` nor ``iscrowd``; those without a mask too, for only a pipeline tells
        whether they are ignored.

        Args:
            path: The file.
            num_classes: C of a list file; the largest label + 1 by default. A json tells it.
        """
        path = Path(path)
        if path.suffix.lower() == '.json':
            return cls._from_coco(path)
        labels = read_list_file(path, num_classes)[1]
        return cls(np.bincount(labels, minlength=num_classes or 0))

    @classmethod
    def _from_coco(cls, path: Path) -> ClassFrequency:
        columns = load_columns(path, make_cache=False)
        columns.require_annotations()
        columns.say_remarks(training=True)
        return cls.from_columns(columns)

    @classmethod
    def from_columns(cls, columns: AnnotationColumns) -> ClassFrequency:
        """Statistics of annotations that have been read; all categories, by id."""
        arrays = columns.arrays
        return cls(
            arrays['image_count'],
            arrays['instance_count'],
            columns.num_images,
            columns.category_names,
        )


def repeat_threshold(num_images: int, bounds: Sequence[int] = LVIS_BOUNDS) -> float:
    """Share of the images below which repeat factor sampling repeats those of a class.

    It is that of the largest class that is not frequent: 100 of 100,000 images is LVIS's 0.001.

    Args:
        num_images: Of the training set.
        bounds: Most images of a rare and of a common class.
    """
    return min(1.0, bounds[1] / num_images)


def lvis_groups(image_count: np.ndarray, bounds: Sequence[int] = LVIS_BOUNDS) -> np.ndarray:
    """Group (C,) of classes by their training images (C,): r, c, f, the bounds included below."""
    rare, common = bounds
    return np.where(image_count <= rare, 'r', np.where(image_count <= common, 'c', 'f'))


def _counts(name: str, values: Sequence[int] | np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or not np.all(np.equal(np.mod(array, 1), 0)) or np.any(array < 0):
        raise BadInputError(f'{name} must be a list of whole numbers >= 0, got {values!r:.80}')
    return array.astype(np.int64)


def _sum(parts: list[ClassFrequency]) -> ClassFrequency:
    sizes = {part.num_classes for part in parts}
    if len(sizes) != 1:
        raise BadInputError(f'the joined data sets have different numbers of classes: {sizes}')
    if len(parts) == 1:
        return parts[0]
    return ClassFrequency(
        np.sum([part.image_count for part in parts], axis=0),
        np.sum([part.instance_count for part in parts], axis=0),
        sum(part.num_images for part in parts),
        parts[0].class_names,
    )
