"""How long the tail of a data set is."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ..formats.annotation_columns import AnnotationColumns
from ..formats.annotation_masks import NO_MASK
from ..frequency import LVIS_BOUNDS, ClassFrequency, lvis_groups

RAREST = 10


@dataclass(frozen=True)
class ClassSummary:
    """Statistics of the classes of a training file; images and instances are those that count.

    Args:
        num_classes: Number of classes.
        num_images: Images, those without annotations included.
        num_annotations: All annotations of the file.
        num_instances: Those that training learns from.
        with_masks: How many annotations have a mask, whatever its state.
        without_images: How many classes no training image has.
        imbalance_images: Images of the largest class over those of the smallest that has some.
        imbalance_instances: The same of instances.
        median_images: Images of the median class of those that have some.
        bounds: Most images of a rare and of a common class by LVIS.
        groups: Numbers of rare, common and frequent classes by these bounds, of those with images.
        proposed_bounds: Others, where LVIS's put all classes into one group and there are others.
        proposed_groups: The groups by those.
        rarest, largest: Classes as dicts of name, images and instances.
    """

    num_classes: int
    num_images: int
    num_annotations: int
    num_instances: int
    with_masks: int
    without_images: int
    imbalance_images: float | None
    imbalance_instances: float | None
    median_images: float | None
    bounds: tuple[int, int]
    groups: dict[str, int]
    proposed_bounds: tuple[int, int] | None
    proposed_groups: dict[str, int] | None
    rarest: list[dict]
    largest: list[dict]

    def as_dict(self) -> dict:
        return asdict(self)


def summarize(columns: AnnotationColumns) -> ClassSummary:
    arrays = columns.arrays
    frequency = ClassFrequency.from_columns(columns)
    images, instances = frequency.image_count, frequency.instance_count
    present = images[images > 0]
    order = np.lexsort((np.arange(len(images)), instances, images))
    order = order[images[order] > 0]

    def rows(labels: np.ndarray) -> list[dict]:
        return [
            {
                'name': frequency.name_of(label),
                'images': int(images[label]),
                'instances': int(instances[label]),
            }
            for label in labels.tolist()
        ]

    groups = _groups(present, LVIS_BOUNDS)
    bounds = propose_bounds(present) if max(groups.values()) == len(present) else None
    return ClassSummary(
        num_classes=frequency.num_classes,
        num_images=frequency.num_images,
        num_annotations=len(arrays['annotation_id']),
        num_instances=frequency.num_instances,
        with_masks=int((arrays['mask_problem'] != NO_MASK).sum()),
        without_images=len(images) - len(present),
        imbalance_images=_factor(present),
        imbalance_instances=_factor(instances[instances > 0]),
        median_images=float(np.median(present)) if len(present) else None,
        bounds=LVIS_BOUNDS,
        groups=groups,
        proposed_bounds=bounds,
        proposed_groups=_groups(present, bounds) if bounds else None,
        rarest=rows(order[:RAREST]),
        largest=rows(order[::-1][:3]),
    )


def propose_bounds(images: np.ndarray) -> tuple[int, int] | None:
    """Bounds that cut classes into three groups of about the same size, if counts allow it.

    Args:
        images: (C,) training images of each class that has some.
    """
    counts = np.unique(images)
    if len(counts) < 3:
        return None
    # a bound is the largest count of its group, so the largest count of all is none
    share = np.searchsorted(np.sort(images), counts[:-1], side='right') / len(images)
    rare = int(np.argmin(np.abs(share[:-1] - 1 / 3)))
    common = rare + 1 + int(np.argmin(np.abs(share[rare + 1 :] - 2 / 3)))
    return int(counts[rare]), int(counts[common])


def _groups(images: np.ndarray, bounds: tuple[int, int]) -> dict[str, int]:
    groups = lvis_groups(images, bounds)
    names = {'rare': 'r', 'common': 'c', 'frequent': 'f'}
    return {name: int((groups == group).sum()) for name, group in names.items()}


def _factor(counts: np.ndarray) -> float | None:
    return float(counts.max() / counts.min()) if len(counts) else None
