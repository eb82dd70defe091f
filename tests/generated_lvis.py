"""A made-up LVIS annotation file with everything that such a file may hold."""

from __future__ import annotations

import numpy as np


def lvis_content(num_images: int = 60, num_categories: int = 23, seed: int = 0) -> dict:
    """Images and annotations in no order, ids with gaps, annotations that cannot be trained on."""
    rng = np.random.default_rng(seed)
    category_ids = rng.permutation(np.arange(1, 2 * num_categories))[:num_categories].tolist()
    categories = [
        dict(id=i, name=f'class_{i}', frequency='r', synonyms=[f'été_{i}']) for i in category_ids
    ]
    images, annotations = [], []
    for image_id in rng.permutation(np.arange(1, 3 * num_images))[:num_images].tolist():
        width, height = rng.integers(20, 640, 2).tolist()
        image = dict(
            id=image_id,
            width=width,
            height=height,
            coco_url=f'http://images.cocodataset.org/train2017/{image_id:012d}.jpg',
            not_exhaustive_category_ids=rng.choice(category_ids, rng.integers(0, 3)).tolist(),
        )
        if rng.random() < 0.8:
            image['neg_category_ids'] = rng.choice(category_ids, rng.integers(0, 9)).tolist()
        images.append(image)
        for _ in range(rng.integers(0, 2) * rng.integers(1, 9)):
            annotations.append(_annotation(rng, image_id, category_ids, width, height))
    order = rng.permutation(len(annotations))
    annotations = [annotations[i] for i in order]
    for number, annotation in enumerate(annotations, 1):
        annotation['id'] = number
    return dict(annotations=annotations, images=images, categories=categories)


def _annotation(rng, image_id: int, category_ids: list[int], width: int, height: int) -> dict:
    kind = rng.random()
    x, y = (rng.random(2) * [width, height]).round(2).tolist()
    w, h = (rng.random(2) * [width - x, height - y] + 0.5).round(2).tolist()
    if kind < 0.1:  # outside
        x = float(width + 3)
    elif kind < 0.2:
        x, y, w, h = int(x), int(y), 7, 9
    elif kind < 0.25:
        w = 0.0
    annotation = dict(
        image_id=image_id,
        # a few categories have most of the annotations
        category_id=category_ids[int(len(category_ids) * rng.random() ** 3)],
        bbox=[x, y, w, h],
        area=0 if rng.random() < 0.05 else round(w * h * 0.7, 2),
        iscrowd=int(rng.random() < 0.1),
    )
    if rng.random() < 0.05:
        annotation['ignore'] = 1
    kind = rng.random()
    if kind < 0.8:
        annotation['segmentation'] = [
            (rng.random(2 * rng.integers(3, 20)) * 100).round(2).tolist()
            for _ in range(rng.integers(1, 4))
        ]
    elif kind < 0.85:
        annotation['segmentation'] = [[x, y, x + w, y, x + w, y + h]]
    elif kind < 0.9:
        annotation['segmentation'] = dict(size=[height, width], counts=[5, 8, height * width - 13])
    elif kind < 0.95:
        annotation['segmentation'] = []
    return annotation
