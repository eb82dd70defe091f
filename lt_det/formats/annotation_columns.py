"""An LVIS or COCO json as arrays: a thousandth of the objects, which processes can share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from .annotation_file import check_is_annotation_file, sections_of
from .annotation_join import join
from .annotation_masks import NO_MASK
from .annotation_refusals import Refusal, Refusals
from .annotation_remarks import Remark, say
from .annotation_stream import NotStreamableError, stream_records
from .annotation_tables import IMAGE_NAMES, AnnotationTable, CategoryTable, ImageTable
from .image_paths import candidates
from .json_file import read_json
from .segmentations import mask_problem

IN_MEMORY = 'annotations given as a dict'


class AnnotationColumns:
    """The annotations of a file with I images, A annotations and K categories.

    Lists of different lengths are one array behind another in ``arrays[name]``; those of entry i
    go from ``arrays[name + '_start'][i]`` to ``arrays[name + '_start'][i + 1]``.

    Args:
        source: Path of the file, for messages.
        categories: K records, sorted by id; every name is a text of its own.
        arrays: The following. Annotations are sorted by image; within one they keep their order.

            - image_id (I,) int64, image_size (I, 2) int64 height and width in pixels
            - file_name, coco_url: UTF-8 of the keys; empty without
            - neg_category_ids, not_exhaustive_category_ids: int64 ids of categories of the file
            - annotation_start (I + 1,): the annotations of image i
            - annotation_id (A,) int64, category (A,) int32 number in ``categories``
            - bbox (A, 4) float64 x, y, width, height, finite; area (A,) float64 square pixels as in
              the file, or of the box
            - ignore, crowd (A,) bool: the keys ignore and iscrowd
            - usable (A,) bool: whether MMDetection would train on it
            - mask_problem (A,) uint8: 0, 1 (``NO_MASK``) without a mask, 2 where it is malformed
            - ring_range (A, 2) int64: polygons of an annotation; empty if it has none
            - ring: float64 x, y, x, y, ... of each polygon
            - other (M,) int64, sorted: annotations with a segmentation that is no polygons
            - other_text: json of those
            - image_count, instance_count (K,) int64 of the annotations that are usable, not crowd
        federated: Whether an image of the file has one of the federated lists.
        has_annotations: Whether the file has the list of annotations at all.
        remarks: What was dropped, computed or assumed.
        training_remarks: The same for what training leaves out and the evaluation does not.
        refusals: What the file would be refused for, if that was collected: the rest is here.
    """

    def __init__(
        self,
        source: str,
        categories: list[dict],
        arrays: dict[str, np.ndarray],
        federated: bool = False,
        has_annotations: bool = True,
        remarks: Sequence[Remark] = (),
        training_remarks: Sequence[Remark] = (),
        refusals: Sequence[Refusal] = (),
    ) -> None:
        self.source = source
        self.categories = categories
        self.arrays = arrays
        self.federated = federated
        self.has_annotations = has_annotations
        self.remarks = list(remarks)
        self.training_remarks = list(training_remarks)
        self.refusals = list(refusals)

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

    def learned(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (A,) and categories (A,), by number, of the annotations that training counts."""
        arrays = self.arrays
        image = np.repeat(np.arange(self.num_images), np.diff(arrays['annotation_start']))
        counted = arrays['usable'] & ~arrays['crowd'].astype(bool)
        return image[counted], arrays['category'][counted]

    def image_names(self, image: int) -> tuple[str, str]:
        """``file_name`` and ``coco_url`` of an image; empty where it has none."""
        names = (self.entry(key, image).tobytes() for key in IMAGE_NAMES)
        return tuple(name.decode(errors='surrogatepass') for name in names)

    def path(self, image: int) -> str:
        """Where an image is looked for first below its folder; see :mod:`image_paths`."""
        return next(candidates(*self.image_names(image), folder=''))

    def nameless(self) -> np.ndarray:
        """(I,) bool, images with neither name."""
        return sum(np.diff(self.arrays[f'{key}_start']) for key in IMAGE_NAMES) == 0

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

    def describe_mask(self, annotation: int) -> str:
        """What is wrong with the mask of an annotation, in a line."""
        name = f'annotation {self.arrays["annotation_id"][annotation]}'
        if self.arrays['mask_problem'][annotation] == NO_MASK:
            return f'{name}: no segmentation (missing, null or empty); expected a mask'
        starts = self.arrays['annotation_start']
        image = int(np.searchsorted(starts, annotation, side='right')) - 1
        height, width = self.arrays['image_size'][image].tolist()
        return f'{name}: {mask_problem(self.segmentation(annotation), height, width)}'

    def say_remarks(self, training: bool = False) -> None:
        """Warn of every remark; those of training only where they matter."""
        for remark in self.remarks + (self.training_remarks if training else []):
            say(self.source, remark.text)

    def require_annotations(self) -> None:
        """Refuse a file without the list, which test sets are."""
        if not self.has_annotations:
            raise BadInputError(f"{self.source}: no list 'annotations'; training needs it")


def read_columns(source: str | os.PathLike | dict, collect: bool = False) -> AnnotationColumns:
    """Parse and check an LVIS or COCO json.

    Args:
        source: Path of the file, or its content, which is not changed.
        collect: Whether to leave out what is refused, and name it in ``refusals``, for an overview
            of the file. Nothing may be trained or scored on the rest.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is no json, lacks a list, or a record in it cannot be used.
    """
    if isinstance(source, dict):
        return _build(IN_MEMORY, _sections(IN_MEMORY, source), collect)
    path = Path(source)
    check_is_annotation_file(path)
    try:
        return _build(str(path), stream_records(path), collect)
    except NotStreamableError:
        return _build(str(path), _sections(str(path), read_json(path)), collect)


def _sections(source: str, content: object) -> Iterable[tuple[str, list]]:
    try:
        return sections_of(content).items()
    except BadInputError as error:
        raise BadInputError(f'{source}: {error}') from None


def _build(
    source: str, batches: Iterable[tuple[str, list]], collect: bool = False
) -> AnnotationColumns:
    refusals = Refusals(collect)
    images, annotations = ImageTable(refusals), AnnotationTable(refusals)
    categories = CategoryTable(refusals)
    tables = {'images': images, 'annotations': annotations, 'categories': categories}
    seen = set()
    try:
        for name, batch in batches:
            seen.add(name)
            tables[name].extend(batch)
        if not {'images', 'categories'} <= seen:
            raise NotStreamableError(f'found only the lists {sorted(seen)}')
        federated = any(images.has_list.values())
        categories, arrays, remarks, in_training = join(images, annotations, categories, refusals)
    except BadInputError as error:
        raise BadInputError(f'{source}: {error}') from None
    facts = federated, 'annotations' in seen, remarks, in_training, refusals.collected
    return AnnotationColumns(source, categories, arrays, *facts)
