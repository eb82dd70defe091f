"""Whether the image files of an annotation file are there, whole, and of the sizes in the json."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError, MissingFileError
from ..formats.annotation_columns import AnnotationColumns
from ..formats.annotation_remarks import Remark, remark
from ..formats.image_paths import find_images, shared_files, tried
from .image_check import BROKEN, MISSING, TURNED, TURNING_TYPES, ImageColumns, inspect_images

_TURN_OFF = (
    'the loader turns it by that, the json does not: set '
    "color_type='color_ignore_orientation' in LoadImageFromFile of training and test, or turn "
    'sizes, boxes and masks in the json'
)
_TURN_ON = (
    "the json turns it by that, the loader does not: set color_type='color' and "
    "imdecode_backend='cv2' in LoadImageFromFile of training and test, or turn the json back"
)


def check_image_files(
    columns: AnnotationColumns,
    images: np.ndarray,
    folder: str,
    color_type: str | None = 'color',
    backend: str = 'cv2',
) -> list[Remark]:
    """Look at the files of images before anything is made of them.

    Args:
        columns: Of the annotation file.
        images: (N,) their numbers.
        folder: The folder of the images.
        color_type, backend: ``color_type`` and ``imdecode_backend`` of the LoadImageFromFile; a
            ``color_type`` of None, of another loader, does without the sizes.

    Returns:
        Remarks on images that are read with a loss, and on repeated ones.

    Raises:
        MissingFileError: A file is missing.
        BadInputError: A file is broken, has not the size in the json, or belongs to several images.
    """
    paths = find_images(columns, folder, images)
    files = inspect_images(paths, color_type or 'color', backend)
    _require_files(columns, images, paths, files, folder)
    remarks = shared_files(columns, images, paths, folder)
    if color_type is None:
        return remarks
    _require_sizes(columns, images, paths, files, color_type)
    ids = columns.arrays['image_id'][images]
    if color_type != 'unchanged':
        what = 'of more than 8 bits per channel, of which the loader keeps the upper 8'
        remarks += remark('image_deep', ids[files.deep], 'images', what)
        what = 'with transparency, which the loader drops'
        remarks += remark('image_alpha', ids[files.alpha], 'images', what)
    return remarks


def wrong_sizes(columns: AnnotationColumns, images: np.ndarray, files: ImageColumns) -> np.ndarray:
    """(N,) bool, readable images that are not of the size in the json.

    Args:
        columns: Of the annotation file.
        images: (N,) numbers of images.
        files: Their files.
    """
    sizes = np.stack([files.height, files.width], 1)
    return (sizes != columns.arrays['image_size'][images]).any(1) & (files.width > 0)


def _require_files(
    columns: AnnotationColumns,
    images: np.ndarray,
    paths: list[str],
    files: ImageColumns,
    folder: str,
) -> None:
    for problem, error in ((MISSING, MissingFileError), (BROKEN, BadInputError)):
        bad = np.flatnonzero(files.problem == problem)
        if len(bad):
            first = bad[0]
            text = (
                f'{len(bad)} of {len(paths)} images of {columns.source} are {problem}, the first '
                f'is {paths[first]}: {files.reason[first]}'
            )
            if problem == MISSING:
                names = columns.image_names(int(images[first]))
                text += f'; tried {tried(*names, folder)}'
            raise error(text)


def _require_sizes(
    columns: AnnotationColumns,
    images: np.ndarray,
    paths: list[str],
    files: ImageColumns,
    color_type: str,
) -> None:
    """Refuse a json whose boxes belong to images of other sizes."""
    wrong = np.flatnonzero(wrong_sizes(columns, images, files))
    if not len(wrong):
        return
    first = wrong[0]
    height, width = columns.arrays['image_size'][images[first]].tolist()
    loaded_height, loaded_width = int(files.height[first]), int(files.width[first])
    orientation = int(files.orientation[first])
    remedy = 'take the images that were annotated, or scale the json to these'
    if (height, width) == (loaded_width, loaded_height):
        remedy = 'correct width and height, and boxes and masks if need be, if they are exchanged'
        if orientation >= TURNED:
            remedy = _TURN_OFF if color_type in TURNING_TYPES else _TURN_ON
    raise BadInputError(
        f'{len(wrong)} of {len(paths)} images of {columns.source} are not of the size in it, the '
        f'first is {paths[first]}: width x height {width} x {height} in the json, {loaded_width} x '
        f'{loaded_height} as loaded (EXIF orientation {orientation}); {remedy}'
    )
