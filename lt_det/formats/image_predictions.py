"""Predictions by image, which ``lt_det predict`` writes, as result records of COCO."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from ..errors import BadInputError
from .annotation_records import number, shown
from .image_paths import candidates
from .json_file import read_json
from .result_files import text_pieces

if TYPE_CHECKING:
    from .annotation_columns import AnnotationColumns

_BEGINNING = 1 << 14


class Records(NamedTuple):
    """Result records of COCO, and what was left out.

    Attributes:
        records: image_id, category_id, score, bbox (x, y, width, height in pixels) and, where the
            model has masks, segmentation.
        unknown: Files that are no image of the annotations.
        num_missing: Images of the annotations without a prediction.
        lowest: Lowest score; None without detections.
    """

    records: list[dict]
    unknown: list[str]
    num_missing: int
    lowest: float | None

    def remarks(self, source: str) -> Iterator[str]:
        """What changes an evaluation on ``source``, the annotations, in a line each."""
        if self.unknown:
            yield (
                f'left out {len(self.unknown)} predicted images that {source} does not have, the '
                f'first is {self.unknown[0]}'
            )
        if self.num_missing:
            yield f'{self.num_missing} images of {source} have no prediction: all there is missed'
        if self.lowest is not None and self.lowest >= 0.05:
            yield (
                f'the lowest score is {self.lowest:.2f}, and AP counts detections of all scores: '
                'lt_det predict --score-thr 0 writes those that score_thr in test_cfg of the '
                "config lets pass (MMDetection's is 0.05 for RoI heads)"
            )


def holds_images(path: str | os.PathLike) -> bool:
    """Whether a json file is a list of images with their detections.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is no json list.
    """
    return b'"detections"' in next(text_pieces(path, _BEGINNING), b'')


def read_image_predictions(
    path: str | os.PathLike, columns: AnnotationColumns, ids: Mapping[str, int]
) -> Records:
    """Result records of the images that annotations have.

    An image is found by what its path ends with, as data sets find the file of an image: its
    ``file_name``, or the path of its ``coco_url``.

    Args:
        path: A json with a list of file, height, width and detections: class, score, bbox and,
            where there are masks, segmentation.
        columns: The annotations.
        ids: Category id of each class name.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is no such list, a class is no category, no image is one of the
            annotations, two files are the same image, or one fits two images.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise BadInputError(f'{path}: expected a json list, found a {type(content).__name__}')
    image_of = _Images(columns)
    records: list[dict] = []
    unknown: list[str] = []
    files: dict[int, str] = {}
    for index, entry in enumerate(content):
        try:
            file, detections = entry['file'], entry['detections']
            image = image_of(file)
            if image is None:
                unknown.append(file)
                continue
            if image in files:
                raise BadInputError(
                    f'{path}: {files[image]} and {file} are both image {image} of {columns.source}'
                )
            files[image] = file
            records += [_record(detection, image, ids) for detection in detections]
        except _UnknownClass as error:
            raise BadInputError(
                f'{path}: class {error.args[0]!r} is no category of {columns.source}'
            ) from None
        except (KeyError, TypeError) as error:
            raise BadInputError(
                f'{path}: image {index} lacks or has an unusable {error}; expected file and '
                'detections with class, score and bbox, as lt_det predict writes them'
            ) from None
    if content and not files:
        raise BadInputError(
            f'{path}: none of its {len(content)} images is one of {columns.source}, the first is '
            f'{unknown[0]}'
        )
    lowest = min((record['score'] for record in records), default=None)
    return Records(records, unknown, columns.num_images - len(files), lowest)


class _UnknownClass(Exception):
    """A class name that is no category."""


def _record(detection: dict, image: int, ids: Mapping[str, int]) -> dict:
    name, score = detection['class'], number(detection['score'])
    if score is None or not isfinite(score):
        raise TypeError(f'score {shown(detection["score"])}')
    if name not in ids:
        raise _UnknownClass(name)
    record = dict(
        image_id=image,
        category_id=ids[name],
        score=score,
        bbox=detection['bbox'],
    )
    if 'segmentation' in detection:
        record['segmentation'] = detection['segmentation']
    return record


class _Images:
    """Id of the image of a file, by the longest end of its path that is a name of one."""

    def __init__(self, columns: AnnotationColumns) -> None:
        self._source = columns.source
        self._ids: dict[str, list[int]] = {}
        for image, image_id in enumerate(columns.arrays['image_id'].tolist()):
            names = candidates(*columns.image_names(image), folder='')
            for name in {os.path.normpath(name).lstrip('/') for name in names}:
                self._ids.setdefault(name, []).append(image_id)

    def __call__(self, file: str) -> int | None:
        end = os.path.abspath(file).replace('\\', '/').lstrip('/')
        while True:
            images = self._ids.get(end, ())
            if len(images) == 1:
                return images[0]
            if images:
                raise BadInputError(
                    f'{file} fits images {images[0]} and {images[1]} of {self._source}: predict '
                    'where its folders tell them apart'
                )
            _, slash, end = end.partition('/')
            if not slash:
                return None
