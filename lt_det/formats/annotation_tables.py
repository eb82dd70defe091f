"""The lists of an annotation file, put record by record into arrays.

Batches of plain types go in column by column. A batch with anything else goes through
:mod:`annotation_records`, which knows all that is allowed and names the record that is not.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from .annotation_records import FEDERATED_LISTS, Record, annotation_record, category_record
from .annotation_refusals import Refusals
from .segmentations import is_debris

_LARGEST = 2**31 - 1  # as the engines of evaluation have it
_SIZE = f'a whole number of pixels, 1 to {_LARGEST}'
_IDS = ('id', 'image_id', 'category_id')
IMAGE_NAMES = ('file_name', 'coco_url')
_SEQUENCES = (tuple, np.ndarray)  # what annotations in memory hold in place of lists
# What a record of other types raises where plain ones are put together.
_ODD = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class Lists:
    """Lists of numbers, one behind another."""

    def __init__(self, code: str) -> None:
        self.values = array(code)
        self.starts = array('q', [0])

    def append(self, values: Iterable) -> None:
        self.values.extend(values)
        self.starts.append(len(self.values))

    def entry(self, index: int) -> array:
        return self.values[self.starts[index] : self.starts[index + 1]]

    def columns(self, name: str) -> dict[str, np.ndarray]:
        return {name: as_numpy(self.values), f'{name}_start': as_numpy(self.starts)}


class Texts(Lists):
    """Bytes, one text behind another."""

    def __init__(self) -> None:
        super().__init__('B')

    def append(self, values: bytes | array) -> None:
        self.values.frombytes(values)
        self.starts.append(len(self.values))


class ImageTable:
    """``absent``: for each federated list the ids of the images without it."""

    def __init__(self, refusals: Refusals) -> None:
        self.refusals = refusals
        self.num_records = 0  # those that were refused included
        self.ids = array('q')
        self.sizes = array('q')
        self.names = {key: Texts() for key in IMAGE_NAMES}
        self.lists = {name: Lists('q') for name in FEDERATED_LISTS}
        self.has_list = dict.fromkeys(FEDERATED_LISTS, False)
        self.absent: dict[str, list[int]] = {name: [] for name in FEDERATED_LISTS}

    def extend(self, batch: list) -> None:
        first, self.num_records = self.num_records, self.num_records + len(batch)
        try:
            columns = _plain_images(batch)
        except _ODD:
            for index, record in enumerate(batch, first):
                self.refusals.record('images', self._append, index, record)
            return
        ids, sizes, names, lists = columns
        self.ids.extend(ids)
        self.sizes.extend(sizes)
        for key, texts in names.items():
            for text in texts:
                self.names[key].append(encode(text))
        for key, values in lists.items():
            self.has_list[key] |= any(key in record for record in batch)
            self.absent[key] += [i for i, value in zip(ids, values) if value is None]
            for value in values:
                self.lists[key].append(value or ())

    def _append(self, index: int, record: Any) -> None:
        image = Record('images', index, record)
        size = [image.whole(key, _SIZE, least=1) for key in ('height', 'width')]
        for key, pixels in zip(('height', 'width'), size):
            if pixels > _LARGEST:
                raise image.refuse(key, _SIZE)
        names = {'file_name': image.text('file_name'), 'coco_url': image.url('coco_url')}
        lists = {key: image.id_list(key) for key in FEDERATED_LISTS}
        self.ids.append(image.id)
        self.sizes.extend(size)
        for key, text in names.items():
            self.names[key].append(encode(text))
        for key, ids in lists.items():
            self.has_list[key] |= key in record
            if ids is None:
                self.absent[key].append(image.id)
            self.lists[key].append(ids or ())


class CategoryTable(list):
    def __init__(self, refusals: Refusals) -> None:
        super().__init__()
        self.refusals = refusals
        self.num_records = 0

    def extend(self, batch: list) -> None:
        first, self.num_records = self.num_records, self.num_records + len(batch)
        for index, record in enumerate(batch, first):
            category = self.refusals.record('categories', category_record, index, record)
            if category is not None:
                self.append(category)


class AnnotationTable:
    """Rows are in the order of the file.

    ``no_area``, ``debris``, ``flat``: rows whose area was computed, who lost polygons that enclose
    nothing, and who have no others. ``others``: rows with a segmentation that is no polygons, which
    ``other_text`` has as json.
    """

    def __init__(self, refusals: Refusals) -> None:
        self.refusals = refusals
        self.num_records = 0
        self.ids, self.images, self.categories = array('q'), array('q'), array('q')
        self.boxes, self.areas = array('d'), array('d')
        self.ignore, self.crowd = bytearray(), bytearray()
        self.rings = Lists('d')
        self.ring_stop = array('q')
        self.no_area: list[int] = []
        self.debris: list[int] = []
        self.flat: list[int] = []
        self.others: list[int] = []
        self.other_text = Texts()

    def extend(self, batch: list) -> None:
        first, self.num_records = self.num_records, self.num_records + len(batch)
        try:
            columns = _plain_columns(batch)
        except _ODD:
            refusals, make = self.refusals, annotation_record
            pairs = [
                refusals.record('annotations', make, *each) for each in enumerate(batch, first)
            ]
            pairs = [pair for pair in pairs if pair is not None]
            batch = [record for record, _ in pairs]
            columns = _plain_columns(batch)
            row = len(self.ids)
            self.no_area += [row for row, (_, computed) in enumerate(pairs, row) if computed]
        kept = self.ids, self.images, self.categories, self.areas, self.boxes
        for table, column in zip((*kept, self.ignore, self.crowd), columns):
            table.extend(column)
        for annotation in batch:
            segmentation = annotation.get('segmentation')
            if isinstance(segmentation, list):
                self._add_polygons(segmentation)
            elif segmentation is not None and not _is_empty_dict(segmentation):
                self._add_other(segmentation)
            self.ring_stop.append(len(self.rings.starts) - 1)

    def _add_polygons(self, polygons: list) -> None:
        values, starts = self.rings.values, self.rings.starts
        num_values, num_starts = len(values), len(starts)
        has_debris = False
        try:
            for ring in polygons:
                values.fromlist(ring)
                starts.append(len(values))
                has_debris |= len(ring) < 6 or len(ring) & 1
        except (TypeError, OverflowError):  # no list of lists of numbers
            del values[num_values:], starts[num_starts:]
            self._add_other(polygons)
            return
        if has_debris:
            good = [ring for ring in polygons if not is_debris(ring)]
            (self.debris if good else self.flat).append(len(self.ring_stop))
            if good:
                del values[num_values:], starts[num_starts:]
                for ring in good:
                    self.rings.append(ring)

    def _add_other(self, segmentation: Any) -> None:
        text = _json(segmentation)
        if isinstance(segmentation, _SEQUENCES) or (
            isinstance(segmentation, list)
            and any(isinstance(ring, _SEQUENCES) for ring in segmentation)
        ):
            self._add_polygons(json.loads(text))
            return
        self.others.append(len(self.ring_stop))
        self.other_text.append(text)


def as_numpy(values: array | bytearray) -> np.ndarray:
    return np.frombuffer(values, values.typecode if isinstance(values, array) else np.bool_)


def encode(text: str) -> bytes:
    return text.encode(errors='surrogatepass')


def _plain_images(batch: list[dict]) -> tuple:
    """Ids, heights and widths, names and federated lists of plain records."""
    ids, heights, widths = (list(map(itemgetter(k), batch)) for k in ('id', 'height', 'width'))
    sizes = list(chain.from_iterable(zip(heights, widths)))
    names = {
        key: ['' if (name := record.get(key)) is None else name for record in batch]
        for key in IMAGE_NAMES
    }
    lists = {key: [record.get(key) for record in batch] for key in FEDERATED_LISTS}
    given = [values for column in lists.values() for values in column if values is not None]
    if (
        not set(map(type, chain(ids, sizes))) <= {int}
        or min(sizes, default=1) < 1
        or max(sizes, default=1) > _LARGEST
        or not set(map(type, chain(*names.values()))) <= {str}
        or not set(map(type, given)) <= {list}
        or not set(map(type, chain(*given))) <= {int}
    ):
        raise TypeError
    numbers = array('q', ids), array('q', sizes)
    for values in given:
        array('q', values)  # OverflowError beyond 64 bits
    return *numbers, names, lists


def _plain_columns(batch: list[dict]) -> tuple:
    """Ids, image ids, category ids, areas, boxes, ``ignore`` and ``iscrowd`` of plain records."""
    ids = [list(map(itemgetter(key), batch)) for key in _IDS]
    areas = list(map(itemgetter('area'), batch))
    boxes = list(map(itemgetter('bbox'), batch))
    corners = list(chain.from_iterable(boxes))
    flags = [[record.get(key, 0) for record in batch] for key in ('ignore', 'iscrowd')]
    if (
        not set(map(type, chain(*ids))) <= {int}
        or not set(map(type, boxes)) <= {list}
        or not set(map(len, boxes)) <= {4}
        or not set(map(type, chain(corners, areas))) <= {int, float}
        or not set(chain(*flags)) <= {0, 1}
    ):
        raise TypeError
    numbers = (array('q', column) for column in ids)
    return *numbers, array('d', areas), array('d', corners), *(map(bool, flag) for flag in flags)


def _is_empty_dict(value: Any) -> bool:
    return isinstance(value, dict) and not value


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    except TypeError:  # integers of more than 64 bits, lone surrogates
        return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> Any:
    """Of what annotations in memory hold: what json knows."""
    if isinstance(value, bytes):
        return value.decode('latin-1')
    return value.tolist() if hasattr(value, 'tolist') else repr(value)
