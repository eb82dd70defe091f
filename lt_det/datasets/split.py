"""One annotation file in parts, so that rare classes can be both learned and measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..formats.annotation_cache import load_columns
from ..formats.annotation_columns import AnnotationColumns
from ..formats.files import whole_file
from ..formats.json_file import read_json
from ..frequency import ClassFrequency
from ..values import is_kind
from .json_part import json_part


@dataclass(frozen=True)
class Part:
    """What has been written.

    Args:
        path: The file.
        frequency: Statistics of its images.
    """

    path: Path
    frequency: ClassFrequency


def split_units(
    unit: np.ndarray,
    label: np.ndarray,
    num_units: int,
    num_classes: int,
    shares: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """The part that each unit (an image, or several that stay together) belongs to.

    Iterative stratification (Sechidis et al., ECML PKDD 2011, section 3): class by class, that with
    the fewest units left first, each of its units goes to the part that lacks most of the class,
    then to that which lacks most units. What is ours: part 1 lacks at least one unit of each class
    that is in two or more, and a class that the first part is left without gets a unit there.

    Args:
        unit: (A,) units of the annotations, in 0..U-1.
        label: (A,) their classes, in 0..C-1.
        num_units: U.
        num_classes: C.
        shares: (P,) of the units, of sum 1; the first part is the one to train on.
        seed: Of the order of the units.

    Returns:
        (U,) int64 in 0..P-1.
    """
    # those without annotations are a class of their own
    empty = np.setdiff1d(np.arange(num_units), unit)
    unit = np.concatenate([unit, empty])
    label = np.concatenate([label, np.full(len(empty), num_classes)])
    num_classes += 1
    unit, label = np.divmod(np.unique(unit * num_classes + label), num_classes)
    rank = np.random.default_rng(seed).permutation(num_units)
    start = np.searchsorted(unit, np.arange(num_units + 1))
    classes = [label[first:last] for first, last in pairwise(start)]
    count = np.bincount(label, minlength=num_classes)
    by_class = np.lexsort([rank[unit], label])
    of_class = np.split(unit[by_class], np.cumsum(count)[:-1])

    lacks = np.outer(shares, count)
    if len(shares) > 1:
        least = np.where(count > 1, np.maximum(lacks[1], 1), 0)
        lacks[0] = np.maximum(lacks[0] + lacks[1] - least, count > 0)
        lacks[1] = least
    lacks_units = np.asarray(shares, np.float64) * num_units
    part = np.full(num_units, -1)

    left = count.copy()
    while left.any():
        chosen = np.where(left > 0, left, num_units + 1).argmin()
        for number in of_class[chosen].tolist():
            if part[number] >= 0:
                continue
            best = np.flatnonzero(lacks[:, chosen] >= lacks[:, chosen].max() - 1e-9)
            part[number] = best = best[lacks_units[best].argmax()]
            lacks[best, classes[number]] -= 1
            lacks_units[best] -= 1
            left[classes[number]] -= 1
    trained = np.bincount(label[part[unit] == 0], minlength=num_classes)
    for missing in np.flatnonzero((count > 0) & (trained == 0)):
        part[of_class[missing][0]] = 0
    return part


def split_file(
    source: str | Path,
    shares: Mapping[str, float],
    out: str | Path,
    seed: int = 0,
    by_folder: bool = False,
) -> list[Part]:
    """Write an annotation file in parts, ``OUT/NAME_PART.json`` each; images stay where they are.

    Images of the same name stay together. Annotations that training does not learn from (crowds,
    ignored, unusable boxes) go with their images and do not count. Everything else of the file is
    in all parts; ``image_count``, ``instance_count`` and ``frequency`` of categories that have them
    become those of the first part, which is the one to train on.

    Args:
        source: LVIS or COCO json.
        shares: Of the images, by the name of a part; their sum is 1.
        out: Folder of the new files, none of which may exist.
        seed: Another one gives other parts.
        by_folder: Whether images of the same folder stay together, as frames of a video do.

    Raises:
        MissingFileError: ``source`` does not exist.
        BadInputError: A share is not in (0, 1], their sum is not 1, a new file exists, a part would
            have no object, or the file is not as expected.
        UserError: A file cannot be written.
    """
    source = Path(source)
    for name, share in shares.items():
        if not is_kind(share, 'a number in (0, 1]'):
            raise BadInputError(f'the share of {name} is {share!r}, expected a number in (0, 1]')
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise BadInputError(
            f'the shares {dict(shares)} have the sum {sum(shares.values()):g}, not 1'
        )
    paths = [Path(out, f'{source.stem}_{name}.json') for name in shares]
    for path in paths:
        if path.exists():
            raise BadInputError(f'{path} exists already; nothing is overwritten')
    columns = load_columns(source, make_cache=False)
    columns.require_annotations()
    unit = _units(columns, by_folder)
    arrays = columns.arrays
    image, label = columns.learned()
    num_units, num_classes = unit.max(initial=-1) + 1, len(columns.categories)
    part = split_units(
        unit[image], label, num_units, num_classes, np.array([*shares.values()]), seed
    )[unit]

    parts = []
    for number, path in enumerate(paths):
        inside = part[image] == number
        if not inside.any():
            what = 'folders' if by_folder else 'names'
            raise BadInputError(
                f'{source}: no image with an object is left for {path.name}; its '
                f'{columns.num_images} images are of {num_units} {what}, and those of one stay '
                'together'
            )
        statistics = image[inside], label[inside], num_classes, int((part == number).sum())
        parts.append(Part(path, ClassFrequency.from_pairs(*statistics, columns.category_names)))
    content = read_json(source)
    with ExitStack() as stack:
        for number, path in enumerate(paths):
            ids = set(arrays['image_id'][part == number].tolist())
            text = json.dumps(json_part(content, ids, columns, parts[0].frequency))
            stack.enter_context(whole_file(path)).write_text(text, encoding='utf-8')
    return parts


def _units(columns: AnnotationColumns, by_folder: bool) -> np.ndarray:
    """(I,) which images stay together: those of a name, or of a folder; nameless ones alone."""
    keys = [
        columns.path(image) or str(columns.arrays['image_id'][image])
        for image in range(columns.num_images)
    ]
    if by_folder:
        keys = [key.rpartition('/')[0] for key in keys]
    return np.unique(keys, return_inverse=True)[1]
