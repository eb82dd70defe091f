"""An LVIS or COCO json as arrays: a thousandth of the objects, which processes can share."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from .annotation_file import check_is_file, read_annotation_file
from .annotation_stream import SECTIONS, NotStreamableError, stream_records

# What a record of a wrong type raises where it is put into an array.
_ODD = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class AnnotationColumns:
    """The annotations of a file with I images, A annotations and K categories.

    Lists of different lengths are one array behind another in ``arrays[name]``; those of entry i
    go from ``arrays[name + '_start'][i]`` to ``arrays[name + '_start'][i + 1]``.

    Args:
        categories: K records, sorted by id.
        arrays: The following. Annotations are sorted by image; within one they keep their order.

            - image_id (I,) int64, image_size (I, 2) int64 height and width in pixels
            - path: UTF-8 of the last two parts of coco_url, or of file_name; empty without either
            - neg_category_ids, not_exhaustive_category_ids: int64
            - annotation_start (I + 1,): the annotations of image i
            - category (A,) int32 number in ``categories``, bbox (A, 4) float64 x, y, width, height
            - usable, crowd (A,) bool: whether MMDetection would train on it; iscrowd
            - ring_range (A, 2) int64: polygons of an annotation; empty if it has none
            - ring: float64 x, y, x, y, ... of each polygon
            - other (M,) int64, sorted: annotations with a segmentation that is no polygons
            - other_text: json of those
            - image_count, instance_count (K,) int64
    """

    def __init__(self, categories: list[dict], arrays: dict[str, np.ndarray]) -> None:
        self.categories = categories
        self.arrays = arrays

    def __deepcopy__(self, memo: dict) -> AnnotationColumns:
        return self  # never written to

    @property
    def num_images(self) -> int:
        return len(self.arrays['image_id'])

    @property
    def category_names(self) -> tuple[str, ...]:
        return tuple(category['name'] for category in self.categories)

    def entry(self, name: str, index: int) -> np.ndarray:
        """One list of a column of lists."""
        starts = self.arrays[f'{name}_start']
        return self.arrays[name][starts[index] : starts[index + 1]]

    def path(self, image: int) -> str:
        return self.entry('path', image).tobytes().decode(errors='surrogatepass')

    def segmentation(self, annotation: int) -> list | dict | None:
        """As in the json, except that whole numbers of polygons are floats; None if empty."""
        first, last = self.arrays['ring_range'][annotation].tolist()
        if first < last:
            return [self.entry('ring', ring).tolist() for ring in range(first, last)]
        others = self.arrays['other']
        index = int(np.searchsorted(others, annotation))
        if index < len(others) and others[index] == annotation:
            return json.loads(self.entry('other_text', index).tobytes())
        return None


def read_columns(path: str | Path) -> AnnotationColumns:
    """Parse an LVIS or COCO json.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: Those of :func:`read_annotation_file`, and a record with a value of a type
            that cannot be used.
    """
    path = Path(path)
    check_is_file(path)
    try:
        return _build(stream_records(path))
    except NotStreamableError:
        pass
    # either a file that cannot be read in blocks, or one with a defect, which this names
    content = read_annotation_file(path)
    try:
        return _build((name, content[name]) for name in SECTIONS)
    except NotStreamableError as error:
        raise BadInputError(f'annotation file {path}: {error}') from error


def _build(batches: Iterable[tuple[str, list]]) -> AnnotationColumns:
    tables = {'images': _Images(), 'annotations': _Annotations(), 'categories': _Categories()}
    seen = set()
    for name, batch in batches:
        seen.add(name)
        try:
            tables[name].extend(batch)
        except _ODD as error:
            raise NotStreamableError(_describe(name, batch, error)) from error
    if len(seen) < len(SECTIONS):
        raise NotStreamableError(f'found only the lists {sorted(seen)}')
    return _join(*tables.values())


def _describe(name: str, batch: list, error: Exception) -> str:
    """Which record of a batch cannot be used."""
    kind = {'images': _Images, 'annotations': _Annotations, 'categories': _Categories}[name]
    for record in batch:
        try:
            kind().extend([record])
        except _ODD as single:
            named = record.get('id') if isinstance(record, dict) else None
            return f'{name} with id {named} cannot be used ({single}): {record!r:.160}'
    return str(error)


class _Lists:
    """Lists of numbers, one behind another."""

    def __init__(self, code: str) -> None:
        self.values = array(code)
        self.starts = array('q', [0])

    def append(self, values: Iterable) -> None:
        self.values.extend(values)
        self.starts.append(len(self.values))

    def columns(self, name: str) -> dict[str, np.ndarray]:
        return {name: _numpy(self.values), f'{name}_start': _numpy(self.starts)}


class _Images:
    def __init__(self) -> None:
        self.ids = array('q')
        self.sizes = array('q')
        self.lists = {
            'path': _Lists('B'),
            'neg_category_ids': _Lists('q'),
            'not_exhaustive_category_ids': _Lists('q'),
        }

    def extend(self, batch: list[dict]) -> None:
        for image in batch:
            self.ids.append(image['id'])
            self.sizes.extend((_whole(image['height']), _whole(image['width'])))
            url = image.get('coco_url')
            path = '/'.join(url.split('/')[-2:]) if url else image.get('file_name') or ''
            self.lists['path'].append(path.encode(errors='surrogatepass'))
            for name in ('neg_category_ids', 'not_exhaustive_category_ids'):
                self.lists[name].append(image.get(name) or ())


class _Annotations:
    def __init__(self) -> None:
        self.ids, self.images, self.categories = array('q'), array('q'), array('q')
        self.boxes, self.areas = array('d'), array('d')
        self.ignore, self.crowd = bytearray(), bytearray()
        self.rings = _Lists('d')
        self.ring_stop = array('q')
        self.others: list[tuple[int, bytes]] = []

    def extend(self, batch: list[dict]) -> None:
        self.ids.extend(map(itemgetter('id'), batch))
        self.images.extend(map(itemgetter('image_id'), batch))
        self.categories.extend(map(itemgetter('category_id'), batch))
        self.areas.extend(map(itemgetter('area'), batch))
        boxes = list(map(itemgetter('bbox'), batch))
        if set(map(len, boxes)) - {4}:
            raise ValueError("'bbox' must have 4 numbers")
        self.boxes.extend(chain.from_iterable(boxes))
        self.ignore.extend(bool(annotation.get('ignore', False)) for annotation in batch)
        self.crowd.extend(bool(annotation.get('iscrowd', False)) for annotation in batch)
        for annotation in batch:
            segmentation = annotation.get('segmentation')
            if segmentation:
                self._segment(segmentation)
            self.ring_stop.append(len(self.rings.starts) - 1)

    def _segment(self, segmentation: list | dict) -> None:
        values, starts = self.rings.values, self.rings.starts
        num_values, num_starts = len(values), len(starts)
        try:
            for ring in segmentation:
                values.fromlist(ring)
                starts.append(len(values))
        except (TypeError, OverflowError):  # no list of lists of numbers: run-length code
            del values[num_values:], starts[num_starts:]
            self.others.append((len(self.ring_stop), json.dumps(segmentation).encode()))


class _Categories(list):
    def extend(self, batch: list[dict]) -> None:
        for category in batch:
            array('q', [category['id']])
            _ = category['name']
        super().extend(batch)


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(f'{value!r} is no whole number of pixels')
    return int(value)


def _numpy(values: array | bytearray) -> np.ndarray:
    return np.frombuffer(values, values.typecode if isinstance(values, array) else np.bool_)


def _join(images: _Images, annotations: _Annotations, categories: list) -> AnnotationColumns:
    """Numbers in place of ids, and annotations sorted by image."""
    categories = sorted(categories, key=itemgetter('id'))
    image_id = _numpy(images.ids)
    category_id = np.array([category['id'] for category in categories], np.int64)
    for name, ids in (('images', image_id), ('categories', category_id)):
        _check_unique(name, ids)
    _check_unique('annotations', _numpy(annotations.ids))
    image = _find(_numpy(annotations.images), image_id, 'image_id')
    category = _find(_numpy(annotations.categories), category_id, 'category_id')

    order = np.argsort(image, kind='stable')
    image, category = image[order], category[order].astype(np.int32)
    boxes = _numpy(annotations.boxes).reshape(-1, 4)[order]
    sizes = _numpy(images.sizes).reshape(-1, 2)
    ignored = _numpy(annotations.ignore)[order]
    ring_stop = _numpy(annotations.ring_stop)
    ring_start = np.concatenate([[0], ring_stop[:-1]]).astype(np.int64)[: len(ring_stop)]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    others = sorted((int(place[row]), text) for row, text in annotations.others)
    other_text = _Lists('B')
    for _, text in others:
        other_text.append(text)
    pairs = np.unique(image * max(len(categories), 1) + category)
    arrays = {
        'image_id': image_id,
        'image_size': sizes,
        'annotation_start': np.searchsorted(image, np.arange(len(image_id) + 1)),
        'category': category,
        'bbox': boxes,
        'usable': _usable(boxes, _numpy(annotations.areas)[order], sizes[image]) & ~ignored,
        'crowd': _numpy(annotations.crowd)[order],
        'ring_range': np.stack([ring_start, ring_stop], 1)[order],
        'other': np.array([row for row, _ in others], np.int64),
        'image_count': np.bincount(pairs % max(len(categories), 1), minlength=len(categories)),
        'instance_count': np.bincount(category, minlength=len(categories)),
        **annotations.rings.columns('ring'),
        **other_text.columns('other_text'),
    }
    for name, lists in images.lists.items():
        arrays |= lists.columns(name)
    return AnnotationColumns(categories, arrays)


def _check_unique(name: str, ids: np.ndarray) -> None:
    if len(np.unique(ids)) < len(ids):
        raise NotStreamableError(f'an id occurs more than once in {name}')


def _find(values: np.ndarray, ids: np.ndarray, name: str) -> np.ndarray:
    """Index in ``ids`` of each of the values."""
    order = np.argsort(ids)
    index = np.searchsorted(ids, values, sorter=order)
    if len(values) and (not len(ids) or (ids[order[index % len(ids)]] != values).any()):
        raise NotStreamableError(f'an annotation has a {name} that the file does not define')
    return order[index]


def _usable(boxes: np.ndarray, areas: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(A,) whether MMDetection would train on a box: at least a pixel, inside, with an area.

    Args:
        boxes: (A, 4) x, y, width, height in pixels.
        areas: (A,) pixels.
        sizes: (A, 2) height and width of the image.
    """
    x, y, w, h = boxes.T
    inside_w = np.minimum(x + w, sizes[:, 1]) - np.maximum(x, 0)
    inside_h = np.minimum(y + h, sizes[:, 0]) - np.maximum(y, 0)
    return (inside_w > 0) & (inside_h > 0) & (areas > 0) & (w >= 1) & (h >= 1)
