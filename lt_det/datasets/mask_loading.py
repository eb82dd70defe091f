"""Whether a pipeline loads masks, and whether the annotations have masks that it can load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from ..errors import BadInputError
from ..formats.annotation_columns import AnnotationColumns
from ..formats.annotation_masks import MALFORMED, NO_MASK
from ..formats.annotation_remarks import Remark, remark


def mask_loaders(transform: Any) -> Iterator[BaseTransform]:
    """Transforms with ``with_mask=True``, also those inside of others."""
    if isinstance(transform, (list, tuple)):
        for part in transform:
            yield from mask_loaders(part)
    elif isinstance(transform, dict):
        yield from mask_loaders(list(transform.values()))
    elif isinstance(transform, (BaseTransform, Compose)):
        if getattr(transform, 'with_mask', False):
            yield transform
        yield from mask_loaders(vars(transform))


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
    what = 'without a mask (missing, null or empty), ignored because the pipeline loads masks'
    remarks = remark('mask_missing', ids[learned & (problem == NO_MASK)], 'annotations', what)
    if any(not getattr(loader, 'poly2mask', True) for loader in loaders):
        coded = np.zeros(len(used), bool)
        coded[columns.arrays['other']] = True
        what = 'with run-length masks, which are ignored with poly2mask=False'
        remarks += remark('mask_coded', ids[learned & coded], 'annotations', what)
    return remarks
