"""LVIS annotations as columns: what the evaluation needs of a file, and nothing else."""

from __future__ import annotations

import copy
import json
import os
import warnings
from array import array
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from ..errors import BadInputError, MissingFileError
from .boundary import boundary_rle
from .masks import segmentation_problem, to_rle

FREQUENCY_GROUPS = ('r', 'c', 'f')
_LVIS_KEYS = {
    'images': ('id', 'neg_category_ids', 'not_exhaustive_category_ids'),
    'categories': ('id', 'frequency'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
}


class LVISGroundTruth:
    """Annotations in the order in which they are scored, and the pairs that can be scored.

    I images and K categories are numbered by ascending id. A *pair* is an image and a category that
    is annotated there (positive) or verified to be absent (negative); detections of any other
    category of the image are not scored. P pairs are sorted by image, then category. G annotations
    are sorted by pair, then by their order in the file. As in lvis-api, annotations whose area is
    not positive and finite do not count.

    Args:
        annotations: Path of an LVIS json, or its content. The content is not changed.
        masks: Whether to keep the segmentations.

    Attributes:
        source (str): Path of the file, for messages.
        image_ids (np.ndarray): (I,) int64.
        image_sizes (np.ndarray): (I, 2) int64 height and width in pixels; 0 where not given.
        category_ids (np.ndarray): (K,) int64.
        categories (list[dict]): K category records of the file.
        frequency (np.ndarray): (K,) of 'r', 'c', 'f'.
        pair_keys (np.ndarray): (P,) int64, image * K + category.
        pair_starts (np.ndarray): (P + 1,) int64 ranges of annotations.
        pair_open (np.ndarray): (P,) bool, category is not exhaustively annotated in the image.
        pair (np.ndarray): (G,) int64 pair of each annotation.
        boxes (np.ndarray): (G, 4) float64 x, y, w, h in pixels.
        areas (np.ndarray): (G,) float64 as given in the file, in square pixels.
        ids (np.ndarray): (G,) int64.
        ignore (np.ndarray): (G,) bool.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is not an LVIS json, or a record in it cannot be used.
    """

    def __init__(self, annotations: str | os.PathLike | dict, masks: bool = False) -> None:
        if isinstance(annotations, dict):
            self.source = 'annotations given as a dict'
            content = annotations
        else:
            self.source = os.fspath(annotations)
            content = _read_json(self.source)
        self._check_lvis(content)
        self._set_images(content['images'], masks)
        self._set_categories(content['categories'])
        self._set_annotations(content['annotations'], masks)
        self._set_pairs(content['images'])

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def num_categories(self) -> int:
        return len(self.category_ids)

    @property
    def category_names(self) -> list[str]:
        """K names; the id where the file has none."""
        return [str(c.get('name', c['id'])) for c in self.categories]

    def find_pairs(self, image: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Number of the pair of each detection.

        Args:
            image: (N,) image numbers, 0..I-1.
            category: (N,) category numbers, 0..K-1.

        Returns:
            (N,) int64 pair numbers; -1 where the category cannot be scored on the image.
        """
        if not len(self.pair_keys):
            return np.full(len(image), -1)
        keys = image.astype(np.int64) * self.num_categories + category
        pairs = np.searchsorted(self.pair_keys, keys)
        np.minimum(pairs, len(self.pair_keys) - 1, out=pairs)
        pairs[self.pair_keys[pairs] != keys] = -1
        return pairs

    def class_agnostic(self, categories: np.ndarray) -> LVISGroundTruth:
        """The annotations as objects of one category, to be found on every image.

        Args:
            categories: (K,) bool, those to be found; objects of others are ignored.
        """
        truth = copy.copy(self)
        category = self.pair_keys[self.pair] % self.num_categories
        truth.ignore = self.ignore | ~categories[category]
        truth.pair = self.pair_keys[self.pair] // self.num_categories
        truth.category_ids = np.zeros(1, dtype=np.int64)
        truth.categories = [{'id': 0, 'name': 'object', 'frequency': 'f'}]
        truth.frequency = np.array(['f'], dtype=object)
        truth.pair_keys = np.arange(self.num_images)
        truth.pair_starts = np.searchsorted(truth.pair, np.arange(self.num_images + 1))
        truth.pair_open = np.zeros(self.num_images, dtype=bool)
        return truth

    def rle(self, index: int) -> dict:
        """Compressed mask of an annotation; polygons are converted once and then replaced."""
        if self._segmentations is None:
            raise BadInputError(f'{self.source}: was loaded without masks')
        segmentation = self._segmentations[index]
        if not (isinstance(segmentation, dict) and isinstance(segmentation['counts'], bytes)):
            image = self.pair_keys[self.pair[index]] // self.num_categories
            height, width = (int(side) for side in self.image_sizes[image])
            problem = segmentation_problem(segmentation, height, width)
            if problem:
                raise BadInputError(f'{self.source}: annotation {self.ids[index]}: {problem}')
            segmentation = self._segmentations[index] = to_rle(segmentation, height, width)
        return segmentation

    def boundary(self, index: int) -> dict:
        """Compressed boundary of an annotation, computed once."""
        if index not in self._boundaries:
            self._boundaries[index] = boundary_rle(self.rle(index))
        return self._boundaries[index]

    def _check_lvis(self, content: Any) -> None:
        for section, keys in _LVIS_KEYS.items():
            records = content.get(section) if isinstance(content, dict) else None
            if not isinstance(records, list):
                raise BadInputError(
                    f'{self.source}: not an LVIS annotation file: no list {section!r} in it'
                )
            for index, record in enumerate(records):
                missing = [k for k in keys if not isinstance(record, dict) or k not in record]
                if missing:
                    raise BadInputError(
                        f'{self.source}: {section}[{index}] lacks {", ".join(map(repr, missing))}; '
                        f'LVIS evaluation needs {", ".join(map(repr, keys))} in all {section}'
                    )

    def _set_images(self, images: list[dict], masks: bool) -> None:
        self.image_ids, order = self._sorted_ids(images, 'images')
        sizes = [(image.get('height', 0), image.get('width', 0)) for image in images]
        self.image_sizes = np.array(sizes, dtype=np.int64).reshape(-1, 2)[order]
        if masks and (self.image_sizes <= 0).any():
            unsized = self.image_ids[(self.image_sizes <= 0).any(1)][0]
            raise BadInputError(
                f'{self.source}: image {unsized} lacks height or width; masks need both'
            )

    def _set_categories(self, categories: list[dict]) -> None:
        self.category_ids, order = self._sorted_ids(categories, 'categories')
        self.categories = [categories[i] for i in order]
        self.frequency = np.array([c['frequency'] for c in self.categories], dtype=object)
        for category in self.categories:
            if category['frequency'] not in FREQUENCY_GROUPS:
                raise BadInputError(
                    f'{self.source}: category {category["id"]} has frequency '
                    f'{category["frequency"]!r}; expected one of {FREQUENCY_GROUPS}'
                )

    def _set_annotations(self, annotations: list[dict], masks: bool) -> None:
        ids, _ = self._sorted_ids(annotations, 'annotations')
        if 0 in ids:
            warnings.warn(
                f'{self.source}: annotation id 0: lvis-api takes a detection that matches it for '
                'a false positive, and so does this evaluation; number annotations from 1',
                stacklevel=4,
            )
        ids = self._integers(annotations, 'id', 'annotations')
        image = self._find(annotations, 'image_id', self.image_ids)
        category = self._find(annotations, 'category_id', self.category_ids)
        areas = self._numbers(annotations, 'area', ())
        boxes = self._numbers(annotations, 'bbox', (4,))
        bad = ~np.isfinite(boxes).all(1) | (boxes[:, 2:] < 0).any(1)
        if bad.any():
            worst = annotations[int(np.argmax(bad))]
            raise BadInputError(
                f'{self.source}: annotation {worst["id"]} has bbox {worst["bbox"]}; '
                'expected finite x, y, width, height, the last two not negative'
            )
        keys = image * self.num_categories + category
        counted = np.flatnonzero((areas > 0) & (areas < np.inf))
        order = counted[np.argsort(keys[counted], kind='stable')]
        self._keys = keys[order]
        self.ids, self.areas, self.boxes = ids[order], areas[order], boxes[order]
        self.ignore = np.array([bool(annotations[i].get('ignore', 0)) for i in order], dtype=bool)
        self._segmentations: list | None = None
        self._boundaries: dict[int, dict] = {}
        if masks:
            for annotation in annotations:
                if 'segmentation' not in annotation:
                    raise BadInputError(
                        f"{self.source}: annotation {annotation['id']} has no 'segmentation', "
                        'which masks need'
                    )
            self._segmentations = [annotations[i]['segmentation'] for i in order]

    def _set_pairs(self, images: list[dict]) -> None:
        negative = self._listed_keys(images, 'neg_category_ids')
        self.pair_keys = np.union1d(self._keys, negative)
        self.pair = np.searchsorted(self.pair_keys, self._keys)
        starts = np.searchsorted(self._keys, self.pair_keys)
        self.pair_starts = np.append(starts, len(self._keys))
        open_keys = self._listed_keys(images, 'not_exhaustive_category_ids')
        self.pair_open = np.isin(self.pair_keys, open_keys)
        del self._keys

    def _listed_keys(self, images: list[dict], name: str) -> np.ndarray:
        """Keys of the categories in a list of each image; ids of no category are left out."""
        lists = [image[name] for image in images]
        ids = np.array([image['id'] for image in images], dtype=np.int64)
        image_ids = np.repeat(ids, [len(listed) for listed in lists])
        category_ids = np.array([i for listed in lists for i in listed], dtype=np.int64)
        known = np.isin(category_ids, self.category_ids)
        image = np.searchsorted(self.image_ids, image_ids[known])
        category = np.searchsorted(self.category_ids, category_ids[known])
        return image * self.num_categories + category

    def _sorted_ids(self, records: list[dict], section: str) -> tuple[np.ndarray, np.ndarray]:
        ids = self._integers(records, 'id', section)
        order = np.argsort(ids, kind='stable')
        ids = ids[order]
        repeated = ids[1:][ids[1:] == ids[:-1]]
        if len(repeated):
            raise BadInputError(f'{self.source}: {section} have the id {repeated[0]} twice')
        return ids, order

    def _find(self, annotations: list[dict], key: str, known: np.ndarray) -> np.ndarray:
        values = self._integers(annotations, key, 'annotations')
        found = np.isin(values, known)
        if not found.all():
            bad = annotations[int(np.argmin(found))]
            raise BadInputError(
                f'{self.source}: annotation {bad["id"]} has {key} {bad[key]!r}, which the file '
                'does not define'
            )
        return np.searchsorted(known, values)

    def _integers(self, records: list[dict], key: str, section: str) -> np.ndarray:
        try:
            return np.array(array('q', map(itemgetter(key), records)), dtype=np.int64)
        except (TypeError, OverflowError):
            bad = [(i, r[key]) for i, r in enumerate(records) if not isinstance(r[key], int)]
            index, value = bad[0] if bad else (0, 'too large')
            raise BadInputError(
                f'{self.source}: {section}[{index}] has {key} {value!r}; expected an integer'
            ) from None

    def _numbers(self, annotations: list[dict], key: str, shape: Sequence[int]) -> np.ndarray:
        values = list(map(itemgetter(key), annotations))
        try:
            return np.array(values, dtype=np.float64).reshape(len(values), *shape)
        except (TypeError, ValueError):
            for annotation, value in zip(annotations, values):
                if not _is_numbers(value, shape):
                    expected = f'{shape[0]} numbers' if shape else 'a number'
                    raise BadInputError(
                        f'{self.source}: annotation {annotation["id"]} has {key} {value!r}; '
                        f'expected {expected}'
                    ) from None
            raise


def _is_numbers(value: Any, shape: Sequence[int]) -> bool:
    try:
        return np.array(value, dtype=np.float64).shape == tuple(shape)
    except (TypeError, ValueError):
        return False


def _read_json(path: str) -> Any:
    try:
        with open(path, 'rb') as file:
            return json.load(file)
    except FileNotFoundError:
        raise MissingFileError(f'annotation file not found: {path}') from None
    except ValueError as error:
        raise BadInputError(f'{path}: not a json file: {error}') from None
