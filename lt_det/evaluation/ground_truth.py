"""What an evaluation needs of an annotation file: who counts, where, and in which group."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInputError, DataWarning
from ..formats.annotation_cache import load_columns
from ..formats.annotation_columns import AnnotationColumns, read_columns
from ..frequency import LVIS_BOUNDS, ClassFrequency, lvis_groups

if TYPE_CHECKING:
    from hotcoco import COCO

PROTOCOLS = ('auto', 'lvis', 'coco')
FREQUENCY_GROUPS = ('r', 'c', 'f')
# An area in none of the ranges: the annotation can be matched, but neither it nor what matches it
# counts. That is how lvis-api treats `ignore`, which the engine does not look at.
_IGNORED_AREA = 1e11


class GroundTruth:
    """Annotations under the rules of a protocol.

    I images in the order of the file, K categories by ascending id, G annotations that take part,
    sorted by image, then in the order of the file.

    - ``'lvis'``: federated. A category is judged on an image where it is annotated or listed in
      ``neg_category_ids``; unmatched detections of ``not_exhaustive_category_ids`` are ignored.
      Annotations whose area is not positive and finite do not take part, ``ignore`` is honoured and
      ``iscrowd`` is not, as in lvis-api.
    - ``'coco'``: every category is judged on every image, ``iscrowd`` regions are ignored, as in
      pycocotools.
    - ``'auto'``: lvis if the file has federated lists, else coco.

    The group of a category (r, c, f) is that of the file's ``frequency``; where the file has none,
    it follows from the training images in ``frequency``, or in the file's ``image_count``. Without
    any of these it is empty.

    Args:
        annotations: Path of an LVIS or COCO json, its content, or its columns.
        protocol: One of the above.
        frequency: Statistics of the training set; matched by class name where it has names.
        bounds: Largest number of training images of a rare and of a common class. If given, groups
            follow from numbers of images, whatever ``frequency`` the file has.

    Attributes:
        columns (AnnotationColumns): The file.
        protocol (str): ``'lvis'`` or ``'coco'``.
        image_ids (np.ndarray): (I,) int64.
        image_sizes (np.ndarray): (I, 2) int64 height and width in pixels.
        category_ids (np.ndarray): (K,) int64, ascending.
        frequency (np.ndarray): (K,) of 'r', 'c', 'f' or ''.
        train_images (list): K numbers of training images, None where unknown.
        rows (np.ndarray): (G,) int64 annotations of the columns that take part.
        out_of_range (np.ndarray): (G,) bool, those that can be matched but do not count.
        ids, image, category, boxes, areas, ignore, crowd: Of those: (G,) int64 id, int64 number of
            the image, int64 number of the category, (G, 4) float64 x, y, w, h in pixels, (G,)
            float64 square pixels, bool, bool.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It cannot be used, or an option is unknown.
    """

    def __init__(
        self,
        annotations: str | os.PathLike | dict | AnnotationColumns,
        protocol: str = 'auto',
        frequency: ClassFrequency | None = None,
        bounds: Sequence[int] | None = None,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise BadInputError(f'protocol is {protocol!r}; expected one of {PROTOCOLS}')
        if isinstance(annotations, dict):
            annotations = read_columns(annotations)
        elif not isinstance(annotations, AnnotationColumns):
            annotations = load_columns(annotations)
        self.columns = annotations
        self.source = annotations.source
        if protocol == 'lvis' and not annotations.federated:
            raise BadInputError(
                f'{self.source}: no image has neg_category_ids or not_exhaustive_category_ids, '
                "which protocol 'lvis' needs; expected an LVIS json, or protocol 'coco'"
            )
        if protocol == 'auto':
            protocol = 'lvis' if annotations.federated else 'coco'
        self.protocol = protocol
        arrays = annotations.arrays
        self.image_ids, self.image_sizes = arrays['image_id'], arrays['image_size']
        self.categories = annotations.categories
        self.category_names = list(annotations.category_names)
        self.category_ids = np.array([c['id'] for c in self.categories], np.int64)
        for name, ids in (('image', self.image_ids), ('category', self.category_ids)):
            if len(ids) and ids.min() < 0:
                raise BadInputError(
                    f'{self.source}: {name} with id {ids.min()}; expected ids of at least 0'
                )
        annotations.say_remarks()
        self.set_groups(frequency, bounds)
        areas = arrays['area']
        counted = (areas > 0) & (areas < np.inf) if self.protocol == 'lvis' else areas < np.inf
        self.rows = np.flatnonzero(counted)
        self.ids = arrays['annotation_id'][self.rows]
        self.category = arrays['category'][self.rows].astype(np.int64)
        self.boxes, self.areas = arrays['bbox'][self.rows], areas[self.rows]
        per_image = np.diff(arrays['annotation_start'])
        self.image = np.repeat(np.arange(len(per_image)), per_image)[self.rows]
        self.crowd = arrays['crowd'][self.rows]
        self.ignore = arrays['ignore'][self.rows] if self.protocol == 'lvis' else self.crowd.copy()
        # neither these nor what matches them count
        self.out_of_range = self.ignore & (self.protocol == 'lvis')
        self._image_order = np.argsort(self.image_ids)
        self._loaded: dict[bool, COCO] = {}
        self._say_deviations()

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def num_categories(self) -> int:
        return len(self.category_ids)

    @cached_property
    def ids_fit_floats(self) -> bool:
        """Whether a float64 holds every id of an image or a category exactly."""
        return all(ids.max(initial=0) <= 2**53 for ids in (self.image_ids, self.category_ids))

    def find_images(self, ids: np.ndarray) -> np.ndarray:
        """(N,) int64 number of the image with each id, -1 where there is none."""
        order = self._image_order
        return _looked_up(self.image_ids[order], ids, order)

    def find_categories(self, ids: np.ndarray) -> np.ndarray:
        """(N,) int64 number of the category with each id, -1 where there is none."""
        return _looked_up(self.category_ids, ids, np.arange(self.num_categories))

    def judged(self, image: np.ndarray, category: np.ndarray) -> np.ndarray:
        """(N,) bool, whether detections of a category are scored on an image.

        Args:
            image: (N,) image numbers.
            category: (N,) category numbers.
        """
        if self.protocol == 'coco':
            return np.ones(len(image), bool)
        return _contains(self.judged_keys, image.astype(np.int64) * self.num_categories + category)

    def partly_annotated(self, image: np.ndarray, category: np.ndarray) -> np.ndarray:
        """(N,) bool, whether a category is not exhaustively annotated on an image."""
        if self.protocol == 'coco':
            return np.zeros(len(image), bool)
        return _contains(self._open_keys, image.astype(np.int64) * self.num_categories + category)

    def annotated(self, images: np.ndarray) -> np.ndarray:
        """(K,) bool, the categories with an annotation on some images, (I,) bool."""
        present = np.zeros(self.num_categories, bool)
        present[self.category[images[self.image]]] = True
        return present

    @cached_property
    def judged_keys(self) -> np.ndarray:
        """Sorted ``image * K + category`` of the pairs that are judged (lvis)."""
        positive = self.image * self.num_categories + self.category
        return np.union1d(positive, self._listed('neg_category_ids'))

    @cached_property
    def _open_keys(self) -> np.ndarray:
        return np.unique(self._listed('not_exhaustive_category_ids'))

    def _listed(self, name: str) -> np.ndarray:
        arrays = self.columns.arrays
        image = np.repeat(np.arange(self.num_images), np.diff(arrays[f'{name}_start']))
        return image * self.num_categories + self.find_categories(arrays[name])

    def set_groups(
        self, frequency: ClassFrequency | None = None, bounds: Sequence[int] | None = None
    ) -> None:
        """Set ``frequency`` and ``train_images``; see there."""
        check_bounds(bounds)
        self.train_images = [category.get('image_count') for category in self.categories]
        if frequency is not None:
            self.train_images = self._counts_of(frequency)
        groups = [category.get('frequency') for category in self.categories]
        if bounds is None and groups and None not in groups:
            for category, group in zip(self.categories, groups):
                if group not in FREQUENCY_GROUPS:
                    raise BadInputError(
                        f'{self.source}: category {category["id"]} has frequency {group!r}; '
                        f'expected one of {FREQUENCY_GROUPS}'
                    )
        else:
            known = [isinstance(count, (int, np.integer)) for count in self.train_images]
            if bounds is not None and not any(known):
                raise BadInputError(
                    f'bounds is {tuple(bounds)}, but the training images of the classes are not '
                    f'known: {self.source} has no image_count, and no frequency was given'
                )
            without = [name for name, k in zip(self.category_names, known) if not k]
            if 0 < len(without) < self.num_categories:
                self._say(
                    f'{len(without)} of {self.num_categories} categories have no count of training '
                    f'images and are in no frequency group, the first is {without[0]!r}'
                )
            counts = [count if k else 0 for count, k in zip(self.train_images, known)]
            of_counts = lvis_groups(np.array(counts), LVIS_BOUNDS if bounds is None else bounds)
            groups = [group if k else '' for group, k in zip(of_counts.tolist(), known)]
        self.frequency = np.array(groups, dtype=object)

    def _say_deviations(self) -> None:
        crowds = int(self.crowd.sum())
        if self.protocol == 'lvis' and crowds:
            self._say(
                f"{crowds} annotations have 'iscrowd' set, at which LVIS evaluation does not look"
            )
        if (self.ids == 0).any():
            self._say(
                'an annotation has id 0: lvis-api and pycocotools take a detection that matches it '
                'for a false positive, this evaluation does not'
            )

    def _say(self, remark: str) -> None:
        warnings.warn(f'{self.source}: {remark}', DataWarning, stacklevel=1)

    def _counts_of(self, frequency: ClassFrequency) -> list[int | None]:
        if frequency.class_names is not None:
            counts = dict(zip(frequency.class_names, frequency.image_count.tolist()))
            return [counts.get(name) for name in self.category_names]
        if frequency.num_classes != self.num_categories:
            raise BadInputError(
                f'frequency has {frequency.num_classes} classes without names, {self.source} has '
                f'{self.num_categories} categories'
            )
        return frequency.image_count.tolist()

    def check_masks(self) -> None:
        """Refuse annotations without a usable mask.

        Raises:
            BadInputError: Names the first, and how many there are.
        """
        bad = self.rows[self.columns.arrays['mask_problem'][self.rows] > 0]
        if len(bad):
            more = f' ({len(bad)} such annotations)' if len(bad) > 1 else ''
            raise BadInputError(f'{self.source}: {self.columns.describe_mask(bad[0])}{more}')

    def engine(self, masks: bool = False) -> COCO:
        """The annotations in the engine; those without a usable mask are ignored."""
        if masks not in self._loaded:
            self._loaded[masks] = self._load(masks)
        return self._loaded[masks]

    def _load(self, masks: bool) -> COCO:
        from hotcoco import COCO

        ignored = self.out_of_range
        if masks:
            ignored = ignored | (self.columns.arrays['mask_problem'][self.rows] > 0)
        return COCO.from_arrays(
            [self.image_record(image) for image in range(self.num_images)],
            self.category_records(),
            self.image_ids[self.image],
            self.category_ids[self.category],
            self.boxes,
            # lvis-api and pycocotools take a match with annotation id 0 for none: no id is 0 here
            ids=np.arange(1, len(self.rows) + 1),
            area=np.where(ignored, _IGNORED_AREA, self.areas),
            iscrowd=self.crowd if self.protocol == 'coco' else None,
            segmentation=[self.segmentation(i) for i in range(len(self.rows))] if masks else None,
        )

    def image_record(self, image: int) -> dict:
        """An image as the engine takes it."""
        height, width = self.image_sizes[image].tolist()
        record = {'id': int(self.image_ids[image]), 'height': height, 'width': width}
        if self.protocol == 'lvis':
            for name in ('neg_category_ids', 'not_exhaustive_category_ids'):
                record[name] = self.listed_ids(name, image)
        return record

    def listed_ids(self, name: str, image: int) -> list[int]:
        """One of the federated lists of an image."""
        return self.columns.entry(name, image).tolist()

    def category_records(self) -> list[dict]:
        """All categories as the engine takes them; ? for what is no Unicode in a name."""
        return [
            {
                'id': c['id'],
                'name': c['name'].encode(errors='replace').decode(),
                'frequency': group or 'f',
            }
            for c, group in zip(self.categories, self.frequency)
        ]

    def annotation_records(self, image: int, masks: bool, categories: np.ndarray) -> list[dict]:
        """The annotations of an image as the engine takes them; (K,) bool, of some categories."""
        first, last = np.searchsorted(self.image, [image, image + 1])
        records = []
        for i in (first + np.flatnonzero(categories[self.category[first:last]])).tolist():
            ignored = self.out_of_range[i]
            if masks and self.columns.arrays['mask_problem'][self.rows[i]]:
                ignored = True
            record: dict[str, Any] = {
                'id': i + 1,
                'image_id': int(self.image_ids[image]),
                'category_id': int(self.category_ids[self.category[i]]),
                'bbox': self.boxes[i].tolist(),
                'area': _IGNORED_AREA if ignored else float(self.areas[i]),
                'iscrowd': int(self.crowd[i] and self.protocol == 'coco'),
            }
            if masks:
                record['segmentation'] = self.segmentation(i)
            records.append(record)
        return records

    def segmentation(self, index: int) -> list | dict:
        """The mask of one of the G annotations; its box where there is no usable one."""
        row = self.rows[index]
        if self.columns.arrays['mask_problem'][row]:
            return box_polygon(self.boxes[index])
        mask = self.columns.segmentation(row)
        assert mask is not None  # which would be a problem of it
        return mask


def check_bounds(bounds: Sequence[int] | None) -> None:
    """Raise BadInputError where groups would be empty whatever the training images are."""
    if bounds is not None and not (len(bounds) == 2 and 0 <= bounds[0] < bounds[1]):
        raise BadInputError(f'bounds is {tuple(bounds)}; expected two rising numbers of images')


def box_polygon(box: Sequence[float]) -> list[list[float]]:
    """The polygon lvis-api takes for a box (x, y, w, h) that stands for a mask."""
    x1, y1, w, h = (float(value) for value in box)
    x2, y2 = x1 + w, y1 + h
    return [[x1, y1, x1, y2, x2, y2, x2, y1]]


def _looked_up(known: np.ndarray, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    if not len(known):
        return np.full(len(values), -1)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[place] == values, numbers[place], -1)


def _contains(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    return _looked_up(sorted_keys, keys, np.zeros(len(sorted_keys), np.int64)) == 0
