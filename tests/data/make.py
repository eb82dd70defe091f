"""Writes the data sets of this folder, drawn by a seed: python tests/data/make.py

They stand in for published annotations, which are not distributed with this package, and have their
properties: the fields and federated lists of LVIS v0.5, its long tail, crowded and empty images,
polygons of several parts; the numbers of rare, common and frequent classes of LVIS v1, its images
and instances; the list format and groups of Places-LT. No value is taken from those files, but for
the two counts of the first class of LVIS v1, for which weights were published.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
CATEGORIES, IMAGES, OBJECTS = 240, 100, 900
GROUPS = dict(r=337, c=461, f=405)  # of LVIS v1
INSTANCES = 1_270_141
FIRST = (64, 109)  # images and instances of class 0 of LVIS v1
SHOTS = dict(many=(6, 101, 180), medium=(9, 20, 100), few=(7, 2, 19))


def main() -> None:
    content = annotations(np.random.default_rng(0))
    (FOLDER / 'lvis_like_val.json').write_text(json.dumps(content, separators=(',', ':')) + '\n')
    rows = counts(np.random.default_rng(1))
    lines = ['label,image_count,instance_count']
    lines += [f'{label},{images},{instances}' for label, (images, instances) in enumerate(rows)]
    (FOLDER / 'lvis_v1_like_counts.csv').write_text('\n'.join(lines) + '\n')
    (FOLDER / 'places_like_train.txt').write_text(image_list(np.random.default_rng(2)))


def annotations(rng: np.random.Generator) -> dict:
    """An annotation file like that of LVIS v0.5."""
    categories = [
        dict(id=i, name=f'thing_{i}', synonyms=[f'thing_{i}'], frequency='rcf'[i % 3])
        for i in range(1, CATEGORIES + 1)
    ]
    share = 1 / np.arange(1, CATEGORIES + 1)
    share = rng.permutation(share / share.sum())
    # some images have many objects, and every twelfth none
    crowding = rng.lognormal(0, 1, IMAGES)
    crowding[::12] = 0
    owners = np.sort(rng.choice(IMAGES, OBJECTS, p=crowding / crowding.sum()))
    images, objects = [], []
    for index, image_id in enumerate(rng.choice(580_000, IMAGES, replace=False).tolist()):
        width, height = ((640, 480), (480, 640), (640, 427), (500, 375))[rng.integers(4)]
        labels = 1 + rng.choice(CATEGORIES, np.sum(owners == index), p=share)
        absent = np.setdiff1d(np.arange(1, CATEGORIES + 1), labels)
        present = np.unique(labels)
        partly = present[rng.random(len(present)) < 0.06]
        images.append(
            dict(
                id=image_id,
                file_name=f'COCO_val2014_{image_id:012d}.jpg',
                coco_url=f'http://images.cocodataset.org/val2017/{image_id:012d}.jpg',
                width=width,
                height=height,
                neg_category_ids=rng.choice(absent, 9, replace=False).tolist(),
                not_exhaustive_category_ids=partly.tolist(),
            )
        )
        for label in labels.tolist():
            polygons = outline(rng, width, height)
            ends = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
            low, high = ends.min(0), ends.max(0)
            objects.append(
                dict(
                    id=len(objects) + 1,
                    image_id=image_id,
                    category_id=label,
                    bbox=np.round([*low, *(high - low)], 1).tolist(),
                    area=round(sum(map(doubled_area, polygons)) / 20) / 10,
                    segmentation=polygons,
                )
            )
    return dict(images=images, annotations=objects, categories=categories)


def outline(rng: np.random.Generator, width: int, height: int) -> list[list[float]]:
    """Polygons of an object: of a tenth of the objects several, side by side."""
    parts = 1 + (rng.random() < 0.1) * int(rng.integers(1, 4))
    size = np.exp(rng.uniform(np.log(3), np.log(height / 3)))
    centre = rng.uniform([0, 0], [width, height])
    polygons = []
    for part in range(parts):
        corners = int(rng.integers(3, 12))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = size * rng.uniform(0.6, 1, corners)
        ring = np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None]
        ring += centre
        ring[:, 0] += 2 * size * part
        ring = np.clip(ring, 0, [width, height]).round(1)
        if np.ptp(ring, axis=0).min() > 1:
            polygons.append(ring.ravel().tolist())
    return polygons or outline(rng, width, height)


def doubled_area(polygon: list[float]) -> int:
    """Twice the area in hundredths, of corners with one decimal: exact on every processor."""
    x, y = np.rint(10 * np.reshape(polygon, (-1, 2)).T).astype(np.int64)
    return int(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)))


def counts(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Images and instances of each class, with the groups and the total of LVIS v1."""
    images = np.concatenate(
        [
            rng.integers(1, 11, GROUPS['r']),
            rng.integers(11, 101, GROUPS['c'] - 1),
            np.exp(rng.uniform(np.log(101), np.log(2_000), GROUPS['f'])).astype(int),
        ]
    )
    images = rng.permutation(images)
    # at least one instance an image; the rest goes to classes by their images
    spare = INSTANCES - FIRST[1] - images.sum()
    instances = images + rng.multinomial(spare, images / images.sum())
    return [FIRST, *zip(images.tolist(), instances.tolist())]


def image_list(rng: np.random.Generator) -> str:
    """A line ``train/FOLDER/NUMBER.jpg LABEL`` for each image, classes one after the other."""
    numbers = [
        int(count)
        for classes, least, most in SHOTS.values()
        for count in rng.integers(least, most + 1, classes)
    ]
    lines = []
    for label, count in enumerate(rng.permutation(numbers).tolist()):
        chosen = rng.choice(10_000, count, replace=False).tolist()
        lines += [f'train/scene_{label:02d}/{number:08d}.jpg {label}' for number in chosen]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    main()
