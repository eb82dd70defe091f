"""Annotation files with one defect each."""

from __future__ import annotations

import copy
from collections.abc import Callable

NAN, INF = float('nan'), float('inf')
SQUARE = [10, 10, 40, 10, 40, 30, 10, 30]


def content_of(num_images: int = 4, federated: bool = True) -> dict:
    """An object of each of the classes a, b and c on each image of 100 x 80; ids from 1."""
    images = [
        dict(id=i, width=100, height=80, file_name=f'{i}.png') for i in range(1, num_images + 1)
    ]
    if federated:
        for image in images:
            image.update(neg_category_ids=[4], not_exhaustive_category_ids=[])
    annotations = [
        dict(
            id=3 * (i - 1) + k,
            image_id=i,
            category_id=k,
            bbox=[10, 10, 30, 20],
            area=600,
            segmentation=[SQUARE],
        )
        for i in range(1, num_images + 1)
        for k in (1, 2, 3)
    ]
    annotations.append(dict(copy.deepcopy(annotations[-1]), id=len(annotations) + 1, category_id=4))
    if federated:
        images[-1]['neg_category_ids'] = []
    categories = [dict(id=k, name=name) for k, name in enumerate('abcd', 1)]
    return dict(images=images, annotations=annotations, categories=categories)


def change(section: str, rows: tuple[int, ...] = (1,), **values) -> Callable[[dict], None]:
    """Sets keys of some records; KeyError takes the key away."""

    def apply(content: dict) -> None:
        for row in rows:
            for key, value in values.items():
                if value is KeyError:
                    content[section][row].pop(key, None)
                else:
                    content[section][row][key] = copy.deepcopy(value)

    return apply


def appended(section: str, row: int, **values) -> Callable[[dict], None]:
    """A copy of a record with other values."""

    def apply(content: dict) -> None:
        content[section].append({**copy.deepcopy(content[section][row]), **values})

    return apply


def without(section: str, keep: Callable[[dict], bool]) -> Callable[[dict], None]:
    def apply(content: dict) -> None:
        content[section] = [record for record in content[section] if keep(record)]

    return apply


def corners(content: dict) -> None:
    for annotation in content['annotations']:
        annotation['bbox'] = [60, 50, 95, 78]


def repeat_twice(content: dict) -> None:
    for number in (20, 21):
        content['annotations'].append({**copy.deepcopy(content['annotations'][4]), 'id': number})


# kind, how many, what does it
ANNOTATIONS = [
    ('area_zero', 2, change('annotations', (0, 1), area=0)),
    ('area_negative', 1, change('annotations', area=-5)),
    ('area_infinite', 1, change('annotations', area=NAN)),
    ('area_infinite', 1, change('annotations', area=INF)),
    ('area_negative', 1, change('annotations', area=-INF)),
    ('ignore', 2, change('annotations', (0, 1), ignore=1)),
    ('box_negative', 1, change('annotations', bbox=[40, 10, -30, 20])),
    ('box_small', 1, change('annotations', bbox=[40, 10, 0.5, 20])),
    ('box_small', 2, change('annotations', (0, 1), bbox=[0.1, 0.1, 0.3, 0.3])),
    ('box_outside', 1, change('annotations', bbox=[100, 10, 30, 20])),
    ('box_beyond', 1, change('annotations', bbox=[90, 10, 30, 20])),
    ('box_beyond', 1, change('annotations', bbox=[-5, 10, 30, 20])),
    ('area_missing', 1, change('annotations', area=KeyError)),
    ('crowd', 2, change('annotations', (0, 1), iscrowd=1)),
    ('mask_missing', 2, change('annotations', (0, 1), segmentation=[])),
    ('mask_missing', 1, change('annotations', segmentation=KeyError)),
    ('mask_debris', 1, change('annotations', segmentation=[SQUARE, [1, 2]])),
]
OTHERS = [
    ('corners', 13, corners),
    ('annotation_repeated', 2, repeat_twice),
    ('mask_malformed', 1, change('annotations', segmentation=[[1, 2, 3, 4]])),
    ('mask_malformed', 1, change('annotations', segmentation=dict(size=[80, 100], counts=[9]))),
    ('mask_size', 1, change('annotations', segmentation=dict(size=[100, 80], counts=[8000]))),
    ('no_neg_category_ids', 1, change('images', neg_category_ids=None)),
    ('no_not_exhaustive_category_ids', 1, change('images', not_exhaustive_category_ids=KeyError)),
    ('unknown_neg_category_ids', 1, change('images', neg_category_ids=[4, 77])),
    ('unknown_not_exhaustive_category_ids', 1, change('images', not_exhaustive_category_ids=[9])),
    ('negative_annotated', 1, change('images', neg_category_ids=[2])),
    ('negative_not_exhaustive', 1, change('images', not_exhaustive_category_ids=[4])),
    ('class_empty', 1, appended('categories', 0, id=9, name='e')),
    ('class_lost', 1, change('annotations', (12,), area=0)),
    ('image_empty', 1, appended('images', 0, id=9, file_name='9.png')),
    ('image_small', 1, change('images', width=31)),
    ('image_nameless', 1, change('images', file_name=KeyError)),
    ('image_repeated', 1, change('images', file_name='1.png')),
    ('no_annotations', 1, lambda content: content.pop('annotations')),
]
REFUSED = [
    ('malformed_image', 1, change('images', width='100')),
    ('malformed_image', 2, change('images', (1, 2), height=0)),
    ('malformed_annotation', 2, change('annotations', (1, 2), bbox=None)),
    ('malformed_annotation', 1, change('annotations', bbox=[NAN, 1, 2, 3])),
    ('malformed_category', 1, change('categories', name=None)),
    ('repeated_image_id', 1, change('images', id=1)),
    ('repeated_annotation_id', 1, change('annotations', id=1)),
    ('repeated_category_id', 1, change('categories', id=1)),
    ('repeated_category_name', 1, change('categories', name='a')),
    ('unknown_image_id', 3, change('annotations', (1, 5, 6), image_id=99)),
    ('unknown_category_id', 1, change('annotations', category_id=99)),
    ('unreadable', 1, lambda content: content.pop('images')),
]
