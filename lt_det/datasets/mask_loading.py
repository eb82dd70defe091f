"""What a pipeline loads, and whether the annotations have masks that it can load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.dataset import Compose

from ..errors import BadInputError
from ..formats.annotation_columns import AnnotationColumns
from ..formats.annotation_masks import MALFORMED, NO_MASK
from ..formats.annotation_remarks import Remark, remark


def transforms_of(transform: Any) -> Iterator[BaseTransform]:
    """All transforms of a pipeline, also those inside of others, in order."""
    if isinstance(transform, (list, tuple)):
        for part in transform:
            yield from transforms_of(part)
    elif isinstance(transform, dict):
        yield from transforms_of(list(transform.values()))
    elif isinstance(transform, (BaseTransform, Compose)):
        yield transform
        yield from transforms_of(vars(transform))


def mask_loaders(pipeline: Any) -> list[BaseTransform]:
    """Transforms with ``with_mask=True``."""
    return [part for part in transforms_of(pipeline) if getattr(part, 'with_mask', False)]


def image_loader(pipeline: Any) -> LoadImageFromFile | None:
    """What loads the images; None where MMCV's transform does not."""
    loaders = (part for part in transforms_of(pipeline) if isinstance(part, LoadImageFromFile))
    return next(loaders, None)


def ignores_maskless(loaders: list[BaseTransform]) -> bool:
    """Whether one of the loaders of masks ignores instances without one."""
    return any(getattr(loader, 'maskless', 'ignore') == 'ignore' for loader in loaders)


def check_masks(
    columns: AnnotationColumns, used: np.ndarray, loaders: list[BaseTransform], source: str
) -> list[Remark]:
    """What is to be said of the masks that a pipeline loads.

    Args:
        columns: A annotations.
        used: (A,) bool, those that become instances.
        loaders: What loads the masks.
        source: The annotation file, for messages.

    Raises:
        BadInputError: A mask is malformed.
    """
    problem, ids = columns.arrays['mask_problem'], columns.arrays['annotation_id']
    malformed = np.flatnonzero(used & (problem >= MALFORMED))
    if len(malformed):
        raise BadInputError(
            f'{source}: {columns.describe_mask(int(malformed[0]))} '
            f'({len(malformed)} of {used.sum()} masks are malformed)'
        )
    learned = used & ~columns.arrays['crowd']
    what = 'without a mask (missing, null or empty), ' + (
        "ignored because the pipeline loads masks; maskless='box' in LoadCompactAnnotations, with "
        'our mask heads, learns their boxes'
        if ignores_maskless(loaders)
        else 'of which the box alone is learned'
    )
    remarks = remark('mask_missing', ids[learned & (problem == NO_MASK)], 'annotations', what)
    if any(not getattr(loader, 'poly2mask', True) for loader in loaders):
        coded = np.zeros(len(used), bool)
        coded[columns.arrays['other']] = True
        what = 'with run-length masks, which are ignored with poly2mask=False'
        remarks += remark('mask_coded', ids[learned & coded], 'annotations', what)
    return remarks
