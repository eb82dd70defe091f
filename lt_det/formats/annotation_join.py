"""The lists of an annotation file joined: numbers in place of ids, annotations sorted by image."""

from __future__ import annotations

from operator import itemgetter

import numpy as np

from ..errors import BadInputError
from .annotation_masks import mask_problems
from .annotation_records import BBOX, first_of, refusal
from .annotation_refusals import SINGULAR, Refusals
from .annotation_remarks import Remark, file_remarks, training_remarks, unusable_reason
from .annotation_tables import AnnotationTable, CategoryTable, ImageTable, Texts, as_numpy


def join(
    images: ImageTable,
    annotations: AnnotationTable,
    categories: CategoryTable,
    refusals: Refusals,
) -> tuple[list[dict], dict[str, np.ndarray], list[Remark], list[Remark]]:
    """Categories sorted by id, the arrays of ``AnnotationColumns``, and what is to be said.

    Where refusals are collected, annotations that point to nothing or without a box are left out,
    and an id stands for the first that has it.

    Raises:
        BadInputError: An id or a name occurs twice, an annotation points to nothing, or its box is
            not finite.
    """
    image_id, annotation_id = as_numpy(images.ids), as_numpy(annotations.ids)
    category_id = np.array([category['id'] for category in categories], np.int64)
    for name, ids in (
        ('images', image_id),
        ('annotations', annotation_id),
        ('categories', category_id),
    ):
        _check_unique(name, ids, refusals)
    categories = sorted(categories, key=itemgetter('id'))
    category_id.sort()
    _check_names(categories, refusals)
    image, category = (
        _find(as_numpy(values), ids, key, annotation_id, refusals)
        for values, ids, key in (
            (annotations.images, image_id, 'image_id'),
            (annotations.categories, category_id, 'category_id'),
        )
    )
    boxes = as_numpy(annotations.boxes).reshape(-1, 4)
    finite = _check_boxes(boxes, annotation_id, refusals)

    sizes = as_numpy(images.sizes).reshape(-1, 2)
    order = np.argsort(image, kind='stable')
    if refusals.collect:
        order = order[(finite & (image >= 0) & (category >= 0))[order]]
    # an image of -1 is the last one, and none of these rows is in the order
    problems = mask_problems(annotations, sizes if len(sizes) else np.ones((1, 2), int), image)
    problems = problems[order]
    annotation_id, image, category = (
        annotation_id[order],
        image[order],
        category[order].astype(np.int32),
    )
    boxes, areas = boxes[order], as_numpy(annotations.areas)[order]
    ignore, crowd = as_numpy(annotations.ignore)[order], as_numpy(annotations.crowd)[order]
    reason = unusable_reason(boxes, areas, ignore, sizes[image])
    learned = (reason == 0) & ~crowd
    num_categories = max(len(categories), 1)
    pairs = np.unique((image * num_categories + category)[learned])
    arrays = {
        'image_id': image_id,
        'image_size': sizes,
        'annotation_start': np.searchsorted(image, np.arange(len(image_id) + 1)),
        'annotation_id': annotation_id,
        'category': category,
        'bbox': boxes,
        'area': areas,
        'ignore': ignore,
        'crowd': crowd,
        'usable': reason == 0,
        'mask_problem': problems,
        'image_count': np.bincount(pairs % num_categories, minlength=len(categories)),
        'instance_count': np.bincount(category[learned], minlength=len(categories)),
        **_segmentations(annotations, order),
        **images.names['file_name'].columns('file_name'),
        **images.names['coco_url'].columns('coco_url'),
    }
    unknown = {}
    for name, lists in images.lists.items():
        columns, unknown[name] = _known_ids(lists.columns(name), name, category_id, image_id)
        arrays |= columns
    general = file_remarks(images, annotations, unknown, arrays)
    return categories, arrays, general, training_remarks(arrays, reason, categories)


def _check_unique(section: str, ids: np.ndarray, refusals: Refusals) -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        repeated = unique[counts > 1]
        message = f'id {repeated[0]} occurs more than once in {section}; expected every id once'
        refusals.add(f'repeated_{SINGULAR[section]}_id', repeated, BadInputError(message))


def _check_names(categories: list[dict], refusals: Refusals) -> None:
    id_of: dict[str, int] = {}
    for category in categories:
        name, number = category['name'], category['id']
        if name in id_of:
            message = (
                f"categories {id_of[name]} and {number} have the same name '{name}'; expected a "
                'name of its own for each'
            )
            refusals.add('repeated_category_name', [name], BadInputError(message))
        id_of.setdefault(name, number)


def _check_boxes(boxes: np.ndarray, annotation_id: np.ndarray, refusals: Refusals) -> np.ndarray:
    """(A,) bool, whether boxes are finite."""
    finite = np.isfinite(boxes).all(1)
    if not finite.all():
        for row in np.flatnonzero(~finite).tolist():
            error = refusal(f'annotation {annotation_id[row]}', 'bbox', boxes[row].tolist(), BBOX)
            refusals.add('malformed_annotation', [str(error)], error)
    return finite


def _find(
    values: np.ndarray,
    ids: np.ndarray,
    key: str,
    annotation_id: np.ndarray,
    refusals: Refusals,
) -> np.ndarray:
    """Index in ``ids`` of each of the values, -1 where there is none."""
    if len(ids):
        order = np.argsort(ids, kind='stable')
        index = order[np.searchsorted(ids, values, sorter=order) % len(ids)]
        index = np.where(ids[index] == values, index, -1)
    else:
        index = np.full(len(values), -1)
    known = index >= 0
    if not known.all():
        row = int(np.argmin(known))
        section = {'image_id': 'images', 'category_id': 'categories'}[key]
        message = (
            f'annotation {annotation_id[row]} has {key} {values[row]}, which is not in {section}; '
            f'expected one of {len(ids)} ids: {first_of(np.sort(ids))}'
        )
        refusals.add(f'unknown_{key}', annotation_id[~known], BadInputError(message))
    return index


def _segmentations(annotations: AnnotationTable, order: np.ndarray) -> dict[str, np.ndarray]:
    ring_stop = as_numpy(annotations.ring_stop)
    ring_start = np.concatenate([[0], ring_stop[:-1]]).astype(np.int64)[: len(ring_stop)]
    place = np.full(len(ring_stop), -1)
    place[order] = np.arange(len(order))
    others = place[annotations.others]
    by_place = np.argsort(others)
    by_place = by_place[others[by_place] >= 0]
    other_text = Texts()
    for index in by_place.tolist():
        other_text.append(annotations.other_text.entry(index))
    return {
        'ring_range': np.stack([ring_start, ring_stop], 1)[order],
        'other': others[by_place],
        **annotations.rings.columns('ring'),
        **other_text.columns('other_text'),
    }


def _known_ids(
    columns: dict[str, np.ndarray], name: str, category_id: np.ndarray, image_id: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A federated list without ids of no category, and of each of those the id of its image."""
    values, starts = columns[name], columns[f'{name}_start']
    known = np.isin(values, category_id)
    if known.all():
        return columns, image_id[:0]
    owner = np.searchsorted(starts, np.flatnonzero(~known), side='right') - 1
    before = np.concatenate([[0], np.cumsum(known)])
    return {name: values[known], f'{name}_start': before[starts]}, image_id[owner]
