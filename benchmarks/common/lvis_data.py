"""Annotations and detections in the shape of LVIS v1 val.

An image has about 12 annotations, in about 3 categories of 1203 that follow Zipf's law, 8 negative
categories, and 300 detections, of which 40% are jittered annotations, 30% such with another label,
30% anywhere.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

NUM_CATEGORIES = 1203
PER_IMAGE = 300
HEIGHT, WIDTH = 480, 640


def make_data(num_images: int, seed: int = 0) -> tuple[dict, dict[str, np.ndarray]]:
    """LVIS annotations without masks, and columns of detections sorted by image."""
    rng = np.random.default_rng(seed)
    zipf = 1 / np.arange(1, NUM_CATEGORIES + 1)
    zipf = rng.permutation(zipf / zipf.sum())
    rank = np.argsort(np.argsort(-zipf))
    category = [
        {'id': c + 1, 'name': f'c{c}', 'frequency': 'fcr'[min(rank[c] // 401, 2)]}
        for c in range(NUM_CATEGORIES)
    ]
    images, annotations, parts = [], [], []
    for image_id in range(1, num_images + 1):
        present = rng.choice(NUM_CATEGORIES, 1 + rng.poisson(2.4), p=zipf) + 1
        absent = np.setdiff1d(rng.choice(NUM_CATEGORIES, 8, replace=False) + 1, present)
        partly = [c for c in set(present.tolist()) if rng.random() < 0.1]
        images.append(
            {
                'id': image_id,
                'height': HEIGHT,
                'width': WIDTH,
                'neg_category_ids': absent.tolist(),
                'not_exhaustive_category_ids': partly,
            }
        )
        boxes = random_boxes(rng, max(rng.poisson(12.3), 1)).round(2)
        labels = rng.choice(present, len(boxes))
        for label, box in zip(labels.tolist(), boxes.tolist()):
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': label,
                    'bbox': box,
                    'area': 0.7 * box[2] * box[3],
                }
            )
        source = rng.integers(0, len(boxes), PER_IMAGE)
        found = boxes[source] + rng.normal(0, 0.1, (PER_IMAGE, 4)) * np.tile(
            boxes[source, 2:], (1, 2)
        )
        kind = rng.random(PER_IMAGE)
        found[kind > 0.7] = random_boxes(rng, int((kind > 0.7).sum()))
        found[:, 2:] = found[:, 2:].clip(1)
        guess = rng.choice(NUM_CATEGORIES, PER_IMAGE, p=zipf) + 1
        score = np.where(kind < 0.4, rng.random(PER_IMAGE), rng.random(PER_IMAGE) ** 3)
        parts.append((np.where(kind < 0.4, labels[source], guess), found, score))
    columns = {
        'image_id': np.repeat(np.arange(1, num_images + 1), PER_IMAGE),
        'category_id': np.concatenate([part[0] for part in parts]),
        # Models give float32.
        'bbox': np.concatenate([part[1] for part in parts]).astype(np.float32).astype(float),
        'score': np.concatenate([part[2] for part in parts]).astype(np.float32).astype(float),
    }
    return {'images': images, 'categories': category, 'annotations': annotations}, columns


def random_boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    sides = np.exp(rng.normal(3.6, 1, (number, 2))).clip(2, 400)
    corners = rng.random((number, 2)) * (np.array([WIDTH, HEIGHT]) - sides).clip(1)
    return np.hstack([corners, sides])


def polygon(rng: np.random.Generator, box: list[float]) -> list[float]:
    """A bumpy ellipse of 24 points in a box."""
    return polygons(rng, np.array([box]))[0].tolist()


def polygons(rng: np.random.Generator, boxes: np.ndarray) -> np.ndarray:
    """(N, 48) bumpy ellipses in boxes (N, 4), x and y in turn."""
    x, y, w, h = boxes.T[..., None]
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = 1 + 0.1 * rng.normal(size=(len(boxes), 24))
    points = [x + w / 2 * (1 + np.cos(angle) * radius), y + h / 2 * (1 + np.sin(angle) * radius)]
    points = np.stack(points, axis=2).clip(0, [WIDTH, HEIGHT]).round(2)
    return points.reshape(len(boxes), 48)


def write_annotations(path: Path, annotations: dict, num_images: int, masks: bool = False) -> None:
    rng = np.random.default_rng(1)
    chosen = [a for a in annotations['annotations'] if a['image_id'] <= num_images]
    if masks:
        chosen = [{**a, 'segmentation': [polygon(rng, a['bbox'])]} for a in chosen]
    part = {**annotations, 'images': annotations['images'][:num_images], 'annotations': chosen}
    path.write_text(json.dumps(part))


def write_detections(path: Path, columns: dict, num_images: int, masks: bool = False) -> None:
    """A result json; with masks, records carry a compressed RLE instead of a box."""
    from pycocotools import mask as mask_utils

    rng = np.random.default_rng(2)
    block = 100 * PER_IMAGE
    with path.open('w') as file:
        for start in range(0, num_images * PER_IMAGE, block):
            rows = slice(start, min(start + block, num_images * PER_IMAGE))
            lists = {name: column[rows].tolist() for name, column in columns.items()}
            records = [dict(zip(lists, values)) for values in zip(*lists.values())]
            if masks:
                for record in records:
                    outline = polygon(rng, record.pop('bbox'))
                    rle = mask_utils.frPyObjects([outline], HEIGHT, WIDTH)[0]
                    record['segmentation'] = {**rle, 'counts': rle['counts'].decode()}
            file.write((', ' if start else '[') + json.dumps(records)[1:-1])
        file.write(']')


def write_columns(path: Path, columns: dict, num_images: int) -> None:
    np.savez(path, **{name: column[: num_images * PER_IMAGE] for name, column in columns.items()})
