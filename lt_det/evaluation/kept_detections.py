"""The detections that an evaluation has counted, in a small file, for reports made afterwards."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError
from ..formats.arrays import read_arrays
from ..formats.coded_masks import CodedMasks
from ..formats.files import whole_file
from .detections import Detections
from .ground_truth import FREQUENCY_GROUPS, GroundTruth

IOU_TYPES = ('bbox', 'segm')
_CORNERS, _CODES = 'bbox.corners', 'segm.codes'
_EXPECTED = {
    'image_id': ('i', ('I',)),
    'category_id': ('i', ('C',)),
    'all_category_id': ('i', ('K',)),
    'group': ('U', ('K',)),
    'train_images': ('i', ('K',)),
    'bbox.score?': ('f', ('N',)),
    'bbox.image_id?': ('i', ('N',)),
    'bbox.category_id?': ('i', ('N',)),
    'bbox.boxes?': ('f', ('N', 4)),
    'bbox.corners?': ('f', ('N', 4)),
    'segm.score?': ('f', ('M',)),
    'segm.image_id?': ('i', ('M',)),
    'segm.category_id?': ('i', ('M',)),
    'segm.lengths?': ('i', ('M',)),
    'segm.codes?': ('u', ('B',)),
}


@dataclass
class KeptDetections:
    """What a file of :func:`write_kept` holds.

    Attributes:
        images: (I,) bool, those that were scored.
        categories: (K,) bool, likewise.
        detections: By IoU type, 'bbox' or 'segm'.
        frequency: (K,) of 'r', 'c', 'f' or '', the groups of the evaluation; None where the
            detections are not from such a file.
        train_images: K numbers of training images, None where unknown; likewise.
    """

    images: np.ndarray
    categories: np.ndarray
    detections: dict[str, Detections]
    frequency: np.ndarray | None = None
    train_images: list[int | None] | None = None

    def set_groups(self, truth: GroundTruth) -> None:
        """Give annotations the groups of the evaluation, where they are known."""
        if self.frequency is not None and self.train_images is not None:
            truth.frequency, truth.train_images = self.frequency, self.train_images


def write_kept(
    path: str | os.PathLike,
    truth: GroundTruth,
    images: np.ndarray,
    categories: np.ndarray,
    detections: Mapping[str, Detections],
) -> None:
    """Write detections with what they were compared with, as .npz; nothing of them is rounded.

    Args:
        path: The file; its folder is made.
        truth: Annotations; their groups and training images are written too.
        images: (I,) bool, those that were scored.
        categories: (K,) bool, likewise.
        detections: By IoU type: 'bbox' with boxes, 'segm' with compressed masks.
    """
    counts = [-1 if count is None else int(count) for count in truth.train_images]
    columns = {
        'image_id': truth.image_ids[images],
        'category_id': truth.category_ids[categories],
        'all_category_id': truth.category_ids,
        'group': truth.frequency.astype(str),
        'train_images': np.array(counts, np.int64),
    }
    for iou_type, given in detections.items():
        columns[f'{iou_type}.image_id'] = truth.image_ids[given.image]
        columns[f'{iou_type}.category_id'] = truth.category_ids[given.category]
        columns[f'{iou_type}.score'] = _small(given.score)
        if iou_type == 'bbox':
            assert given.boxes is not None
            columns |= _box_columns(given.boxes)
        else:
            codes = [_bytes(mask['counts']) for mask in given.segmentations or ()]
            columns[_CODES] = np.frombuffer(b''.join(codes), np.uint8)
            columns['segm.lengths'] = np.array([len(code) for code in codes], np.int64)
    with (
        whole_file(path) as unfinished,
        zipfile.ZipFile(unfinished, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        for name, values in columns.items():
            entry: str | zipfile.ZipInfo = f'{name}.npy'
            if name == _CODES:  # half the size is not worth more time than all the rest
                entry = zipfile.ZipInfo(f'{name}.npy')  # not compressed
            with file.open(entry, 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)


def read_kept(path: str | os.PathLike, truth: GroundTruth) -> KeptDetections:
    """Read a file of :func:`write_kept`.

    Args:
        path: The file.
        truth: The annotations that were evaluated.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: It is no such file, or of other annotations.
    """
    columns = read_arrays(path, _EXPECTED, 'detections that an evaluation kept')
    if not np.array_equal(columns['all_category_id'], truth.category_ids):
        raise BadInputError(f'{path}: categories are not those of {truth.source}')
    groups = columns['group'].astype(object)
    unknown = [group for group in groups if group not in (*FREQUENCY_GROUPS, '')]
    if unknown:
        raise BadInputError(
            f'{path}: group has {unknown[0]!r}, expected one of {FREQUENCY_GROUPS}, or none'
        )
    images, categories = np.zeros(truth.num_images, bool), np.zeros(truth.num_categories, bool)
    images[_known(path, 'images', truth.find_images(columns['image_id']), truth)] = True
    of_file = truth.find_categories(columns['category_id'])
    categories[_known(path, 'categories', of_file, truth)] = True
    detections = {t: _detections(path, columns, t, truth) for t in IOU_TYPES if _has(columns, t)}
    counts = [None if count < 0 else count for count in columns['train_images'].tolist()]
    return KeptDetections(images, categories, detections, groups, counts)


def _has(columns: dict, iou_type: str) -> bool:
    return f'{iou_type}.score' in columns


def _detections(
    path: str | os.PathLike, columns: dict, iou_type: str, truth: GroundTruth
) -> Detections:
    def column(name: str) -> np.ndarray:
        if f'{iou_type}.{name}' not in columns:
            raise BadInputError(f'{path}: {iou_type}.{name} is missing')
        return columns[f'{iou_type}.{name}']

    image = _known(path, 'images', truth.find_images(column('image_id')), truth)
    category = _known(path, 'categories', truth.find_categories(column('category_id')), truth)
    score = column('score').astype(np.float64)
    if iou_type == 'bbox':
        boxes = _boxes(columns if 'bbox.boxes' in columns else {_CORNERS: column('corners')})
        if (boxes[:, 2:] < 0).any():
            raise BadInputError(f'{path}: has boxes of negative width or height')
        return Detections(image, category, score, boxes)
    sizes = truth.image_sizes[image]
    masks = _masks(path, column('codes'), column('lengths'), sizes)
    return Detections(image, category, score, None, masks)


def _known(
    path: str | os.PathLike, what: str, numbers: np.ndarray, truth: GroundTruth
) -> np.ndarray:
    if (numbers < 0).any():
        raise BadInputError(f'{path}: has {what} that are not in {truth.source}')
    return numbers


def _box_columns(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Corners in single precision where sizes come back from them exactly, else x, y, w, h."""
    corners = boxes.copy()
    corners[:, 2:] += corners[:, :2]
    small = {_CORNERS: corners.astype(np.float32)}
    return small if np.array_equal(_boxes(small), boxes) else {'bbox.boxes': boxes}


def _boxes(columns: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 4) float64 x, y, w, h."""
    if 'bbox.boxes' in columns:
        return columns['bbox.boxes'].astype(np.float64)
    boxes = columns[_CORNERS].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def _small(values: np.ndarray) -> np.ndarray:
    """The values in single precision, where that is exact."""
    small = values.astype(np.float32)
    return small if np.array_equal(small, values) else values


def _bytes(counts: bytes | str) -> bytes:
    return counts if isinstance(counts, bytes) else counts.encode()


def _masks(
    path: str | os.PathLike, codes: np.ndarray, lengths: np.ndarray, sizes: np.ndarray
) -> CodedMasks:
    """Compressed masks of one text after the other."""
    if (lengths < 1).any() or lengths.sum() != len(codes):
        raise BadInputError(
            f'{path}: segm.lengths adds up to {lengths.sum()}, segm.codes has {len(codes)} bytes'
        )
    masks = CodedMasks(codes, lengths, sizes)
    if (masks.areas < 0).any():
        raise BadInputError(f'{path}: segm.codes are no masks of the images')
    return masks
