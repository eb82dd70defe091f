"""The detections that an evaluation has counted, in a small file, for reports made afterwards."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInputError, MissingFileError
from ..formats.files import whole_file
from .detections import Detections
from .ground_truth import GroundTruth


@dataclass
class KeptDetections:
    """What a file of :func:`write_kept` holds.

    Attributes:
        images: (I,) bool, those that were scored.
        categories: (K,) bool, likewise.
        detections: By IoU type, 'bbox' or 'segm'.
    """

    images: np.ndarray
    categories: np.ndarray
    detections: dict[str, Detections]


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
    for iou_type, found in detections.items():
        columns[f'{iou_type}.image_id'] = truth.image_ids[found.image]
        columns[f'{iou_type}.category_id'] = truth.category_ids[found.category]
        columns[f'{iou_type}.score'] = _small(found.score)
        if iou_type == 'bbox':
            columns |= _box_columns(found.boxes)
        else:
            codes = [_bytes(mask['counts']) for mask in found.segmentations or ()]
            columns['segm.codes'] = np.frombuffer(b''.join(codes), np.uint8)
            columns['segm.lengths'] = np.array([len(code) for code in codes], np.int64)
    with (
        whole_file(path) as unfinished,
        zipfile.ZipFile(unfinished, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        for name, values in columns.items():
            with file.open(f'{name}.npy', 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)


def read_kept(path: str | os.PathLike, truth: GroundTruth) -> KeptDetections:
    """Read a file of :func:`write_kept`, and set the groups of ``truth`` to those that it has.

    Args:
        path: The file.
        truth: The annotations that were evaluated.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: It is no such file, or of other annotations.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path} does not exist')
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = dict(file.items())
        return _read(path, columns, truth)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise BadInputError(
            f'{path} cannot be read ({error!r}); expected detections that an evaluation kept'
        ) from error


def _read(path: str | os.PathLike, columns: dict, truth: GroundTruth) -> KeptDetections:
    if not np.array_equal(columns['all_category_id'], truth.category_ids):
        raise BadInputError(f'{path}: categories are not those of {truth.source}')
    truth.frequency = columns['group'].astype(object)
    counts = columns['train_images'].tolist()
    truth.train_images = [None if count < 0 else count for count in counts]
    images, categories = np.zeros(truth.num_images, bool), np.zeros(truth.num_categories, bool)
    images[_known(path, truth.find_images(columns['image_id']), truth)] = True
    categories[truth.find_categories(columns['category_id'])] = True
    detections = {}
    for iou_type in ('bbox', 'segm'):
        if f'{iou_type}.score' not in columns:
            continue
        image = _known(path, truth.find_images(columns[f'{iou_type}.image_id']), truth)
        category = truth.find_categories(columns[f'{iou_type}.category_id'])
        score = columns[f'{iou_type}.score'].astype(np.float64)
        boxes = masks = None
        if iou_type == 'bbox':
            boxes = _boxes(columns)
        else:
            masks = _masks(columns, truth.image_sizes[image])
        detections[iou_type] = Detections(image, category, score, boxes, masks)
    return KeptDetections(images, categories, detections)


def _known(path: str | os.PathLike, numbers: np.ndarray, truth: GroundTruth) -> np.ndarray:
    if (numbers < 0).any():
        raise BadInputError(f'{path}: has images that are not in {truth.source}')
    return numbers


def _box_columns(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Corners in single precision where sizes come back from them exactly, else x, y, w, h."""
    corners = boxes.copy()
    corners[:, 2:] += corners[:, :2]
    small = {'bbox.corners': corners.astype(np.float32)}
    return small if np.array_equal(_boxes(small), boxes) else {'bbox.boxes': boxes}


def _boxes(columns: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 4) float64 x, y, w, h."""
    if 'bbox.boxes' in columns:
        return columns['bbox.boxes']
    boxes = columns['bbox.corners'].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def _small(values: np.ndarray) -> np.ndarray:
    """The values in single precision, where that is exact."""
    small = values.astype(np.float32)
    return small if np.array_equal(small, values) else values


def _bytes(counts: bytes | str) -> bytes:
    return counts if isinstance(counts, bytes) else counts.encode()


def _masks(columns: dict, sizes: np.ndarray) -> list[dict]:
    codes = columns['segm.codes'].tobytes()
    ends = np.cumsum(columns['segm.lengths'])
    starts = ends - columns['segm.lengths']
    return [
        {'size': size, 'counts': codes[start:end]}
        for size, start, end in zip(sizes.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ]
