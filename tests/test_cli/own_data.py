"""A long-tailed COCO data set with the faults that own data have: python own_data.py FOLDER"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS = dict(red=(200, 40, 40), green=(40, 160, 40), blue=(40, 60, 200), black=(20, 20, 20))
SHAPES = dict(disc=24, triangle=3, square=4)  # corners of the polygon
NAMES = [f'{colour} {shape}' for shape in SHAPES for colour in COLOURS]
TRAIN = [120, 80, 50, 30, 20, 14, 10, 8, 6, 4, 3, 2]  # objects of each class
VAL = [6] * 12
BACKGROUND, SIDE = 4, 96


def make(folder: Path, train: list[int] = TRAIN, val: list[int] = VAL) -> None:
    """Write ``images/``, ``train.json`` and ``val.json`` into a folder."""
    (folder / 'images').mkdir(parents=True)
    for seed, (split, counts) in enumerate(dict(train=train, val=val).items()):
        (folder / f'{split}.json').write_text(json.dumps(write(folder, split, counts, seed)))


def write(folder: Path, split: str, counts: list[int], seed: int) -> dict:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    images, annotations = [], []
    for start in range(0, len(labels), 2):  # two objects an image, side by side
        add_image(folder, split, images, annotations, labels[start : start + 2].tolist(), rng)
    for _ in range(BACKGROUND):
        add_image(folder, split, images, annotations, [], rng)
    if split == 'train':
        for annotation in annotations[5::20]:  # somebody drew only boxes there
            annotation['segmentation'] = []
        for image in images[:2]:  # files that are there twice
            add_copy(folder, images, annotations, image)
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(NAMES[: len(counts)])]
    return dict(images=images, annotations=annotations, categories=categories)


def add_image(folder, split, images, annotations, labels, rng) -> None:
    number = len(images) + 1
    name = f'{split}_{number:04}.jpg'
    noise = rng.integers(150, 240, (SIDE, SIDE, 3), np.uint8)
    picture = Image.fromarray(noise)
    for place, label in enumerate(labels):
        colour = list(COLOURS.values())[label % 4]
        corners = list(SHAPES.values())[label // 4]
        radius = rng.uniform(12, 22)
        x, y = 24 + 48 * place, rng.uniform(radius + 1, SIDE - radius - 1)
        angles = 2 * np.pi * (np.arange(corners) / corners + rng.uniform())
        ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1).round(1)
        ImageDraw.Draw(picture).polygon(list(map(tuple, ring.tolist())), colour)
        (x1, y1), (x2, y2) = ring.min(0).tolist(), ring.max(0).tolist()
        box = [round(value, 1) for value in (x1, y1, x2 - x1, y2 - y1)]
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=number,
                category_id=label + 1,
                bbox=box,
                area=round(box[2] * box[3], 1),
                iscrowd=0,
                segmentation=[ring.ravel().tolist()],
            )
        )
    picture.save(folder / 'images' / name, quality=95)
    images.append(dict(id=number, file_name=name, width=SIDE, height=SIDE))


def add_copy(folder: Path, images: list[dict], annotations: list[dict], image: dict) -> None:
    number = len(images) + 1
    name = f'copy_{number:04}.jpg'
    shutil.copy(folder / 'images' / image['file_name'], folder / 'images' / name)
    images.append(dict(image, id=number, file_name=name))
    for annotation in [a for a in annotations if a['image_id'] == image['id']]:
        annotations.append(dict(annotation, id=len(annotations) + 1, image_id=number))


if __name__ == '__main__':
    make(Path(sys.argv[1]))
