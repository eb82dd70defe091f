"""The problems of one annotation file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ..errors import BadInputError, DataWarning
from ..evaluation.ground_truth import GroundTruth
from ..formats.annotation_cache import load_columns
from ..formats.annotation_columns import AnnotationColumns, read_columns
from ..formats.annotation_masks import MALFORMED, NO_MASK
from ..formats.annotation_records import FEDERATED_LISTS
from .problems import Problem, of_refusals, of_remarks, problem

MIN_SIDE = 32  # filter_cfg of the configs, pixels
_ROUNDING = 1  # pixels by which a box may reach beyond its image


def read(path: str | Path, file: str) -> tuple[AnnotationColumns | None, list[Problem]]:
    """The columns of a file, None if nothing of it can be read, and what it is refused for.

    Raises:
        MissingFileError: There is no such file.
    """
    try:
        return load_columns(path, make_cache=False), []
    except BadInputError:
        pass
    try:
        columns = read_columns(path, collect=True)
    except BadInputError as error:
        text = str(error).removeprefix(f'{path}: ')
        return None, [problem(file, 'unreadable', 1, [Path(path).name], text=text)]
    return columns, of_refusals(file, columns.refusals)


def protocol_of(columns: AnnotationColumns) -> str:
    """By whose rules the file is evaluated by default."""
    return 'lvis' if columns.federated else 'coco'


def problems_of(columns: AnnotationColumns, file: str) -> list[Problem]:
    """What is wrong with a file that can be read.

    Args:
        columns: The file, with A annotations.
        file: 'train' or 'val', what it is used for.
    """
    protocol = protocol_of(columns)
    remarks = columns.remarks
    if columns.has_annotations:
        remarks = remarks + columns.training_remarks
    elsewhere = ('area',) if file == 'train' else ('area', 'class_lost')
    remarks = [remark for remark in remarks if remark.kind not in elsewhere]
    problems = of_remarks(file, remarks, protocol)

    def add(kind: str, affected: np.ndarray, names: np.ndarray) -> None:
        affected = np.flatnonzero(affected)
        if len(affected):
            problems.append(problem(file, kind, len(affected), names[affected], protocol))

    arrays = columns.arrays
    images, annotations = arrays['image_id'], arrays['annotation_id']
    if not columns.has_annotations:
        problems.append(problem(file, 'no_annotations', 1, [Path(columns.source).name], protocol))
    problems += _evaluation_problems(columns, file)
    area = arrays['area']
    add('area_zero', area == 0, annotations)
    add('area_negative', area < 0, annotations)
    add('area_infinite', ~(area < np.inf), annotations)  # NaN is not below
    add('box_beyond', _beyond(arrays), annotations)
    add('annotation_repeated', _repeated(arrays), annotations)
    for kind, rows in _masks(columns, file).items():
        add(kind, rows, annotations)
    for kind, affected in _federated(columns).items():
        add(kind, affected, images)
    if columns.has_annotations:
        annotated = np.bincount(arrays['category'], minlength=len(columns.categories)) > 0
        names = np.array([*columns.category_names, ''], object)  # of objects though all are short
        add('class_empty', ~annotated, names)
        add('image_empty', np.diff(arrays['annotation_start']) == 0, images)
    add('image_small', arrays['image_size'].min(1, initial=MIN_SIDE) < MIN_SIDE, images)
    add('image_nameless', columns.nameless(), images)
    return problems


def repeated_names(columns: AnnotationColumns, file: str) -> list[Problem]:
    """Images with the name of an earlier image of the file."""
    seen, repeated = set(), []
    for number, name in zip(columns.arrays['image_id'].tolist(), names_of(columns)):
        if name in seen:
            repeated.append(number)
        elif name:
            seen.add(name)
    return [problem(file, 'image_repeated', len(repeated), sorted(repeated))] if repeated else []


def names_of(columns: AnnotationColumns) -> list[str]:
    """Path of each of the I images below the folder, empty where it has none."""
    return [columns.path(image).replace('\\', '/') for image in range(columns.num_images)]


def trained_images(columns: AnnotationColumns) -> np.ndarray:
    """Numbers of the images that training with the configs keeps."""
    annotated = np.diff(columns.arrays['annotation_start']) > 0
    return np.flatnonzero(annotated & (columns.arrays['image_size'].min(1) >= MIN_SIDE))


def has_masks(columns: AnnotationColumns) -> bool:
    """Whether most of the annotations that training uses have a mask, good or bad."""
    problems = columns.arrays['mask_problem'][columns.arrays['usable']]
    return bool(len(problems)) and bool((problems != NO_MASK).mean() >= 0.5)


def _evaluation_problems(columns: AnnotationColumns, file: str) -> list[Problem]:
    """What the evaluation refuses beside what the reader does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DataWarning)
            GroundTruth(columns)
    except BadInputError as error:
        text = str(error).removeprefix(f'{columns.source}: ')
        name = Path(columns.source).name
        return [problem(file, 'evaluation_refused', 1, [name], text=text)]
    return []


def _beyond(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(A,) bool, usable boxes that reach beyond their image by more than rounding."""
    x, y, w, h = arrays['bbox'].T
    sizes = np.repeat(arrays['image_size'], np.diff(arrays['annotation_start']), axis=0)
    beyond = (x < -_ROUNDING) | (y < -_ROUNDING)
    beyond |= (x + w > sizes[:, 1] + _ROUNDING) | (y + h > sizes[:, 0] + _ROUNDING)
    return beyond & arrays['usable']


def _repeated(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(A,) bool, annotations with the box and category of an earlier one of their image."""
    boxes, category = arrays['bbox'], arrays['category']
    image = np.repeat(np.arange(len(arrays['image_id'])), np.diff(arrays['annotation_start']))
    order = np.lexsort((*boxes.T, category, image))
    same = (np.diff(boxes[order], axis=0) == 0).all(1)
    same &= (np.diff(category[order]) == 0) & (np.diff(image[order]) == 0)
    repeated = np.zeros(len(order), bool)
    repeated[order[1:][same]] = True
    return repeated


def _masks(columns: AnnotationColumns, file: str) -> dict[str, np.ndarray]:
    """(A,) bool by kind, of the annotations whose masks training or evaluation would load.

    A file without any mask is one of boxes, and has none of these problems.
    """
    arrays = columns.arrays
    state = arrays['mask_problem']
    if file == 'train':
        taking_part = arrays['usable']
    elif protocol_of(columns) == 'lvis':
        taking_part = (arrays['area'] > 0) & (arrays['area'] < np.inf)
    else:
        taking_part = arrays['area'] < np.inf
    if (state == NO_MASK).all():
        return {}
    missing = (state == NO_MASK) & taking_part
    if file == 'train':
        missing &= ~arrays['crowd']
    malformed = (state >= MALFORMED) & taking_part
    size = np.zeros(len(state), bool)
    for row in np.flatnonzero(malformed).tolist():
        size[row] = ': RLE size is ' in columns.describe_mask(row)
    return {'mask_missing': missing, 'mask_malformed': malformed & ~size, 'mask_size': size}


def _federated(columns: AnnotationColumns) -> dict[str, np.ndarray]:
    """(I,) bool by kind, images whose lists contradict their annotations or each other."""
    arrays = columns.arrays
    num_categories = max(len(columns.categories), 1)
    ids = np.array([category['id'] for category in columns.categories], np.int64)  # sorted

    def pairs(starts: str, category: np.ndarray) -> np.ndarray:
        """Sorted image * K + category of lists of the images, each once."""
        image = np.repeat(np.arange(columns.num_images), np.diff(arrays[starts]))
        return np.unique(image * num_categories + category)

    annotated = pairs('annotation_start', arrays['category'])
    negative, not_exhaustive = (
        pairs(f'{name}_start', np.searchsorted(ids, arrays[name])) for name in FEDERATED_LISTS
    )
    affected = {}
    for kind, other in (
        ('negative_annotated', annotated),
        ('negative_not_exhaustive', not_exhaustive),
    ):
        both = np.intersect1d(negative, other, assume_unique=True)
        affected[kind] = np.zeros(columns.num_images, bool)
        affected[kind][both // num_categories] = True
    return affected
