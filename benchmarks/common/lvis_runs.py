"""Annotations, pictures and detections with masks in the shape of LVIS v1 val, in files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from .lvis_data import HEIGHT, WIDTH, make_data, polygons

NUM_PICTURES = 20  # that differ
_NEGATIVE = 'neg_category_ids'


def make_runs(folder: Path, num_images: int) -> None:
    """Write what runs are evaluated from: truth.json, pictures/ and detections.npz.

    The detections are those of ``make_data``, with masks where a test encodes them: 'masked', their
    rows; 'codes', all run lengths; 'lengths', of each.
    """
    from pycocotools import mask as mask_utils

    truth, columns = make_data(num_images)
    rng = np.random.default_rng(1)
    outlines = polygons(rng, np.array([a['bbox'] for a in truth['annotations']]))
    for annotation, outline in zip(truth['annotations'], outlines.tolist()):
        annotation['segmentation'] = [outline]
    for category in truth['categories']:
        count = {'r': 5, 'c': 50, 'f': 1000}[category['frequency']] + category['id'] % 5
        category |= {'image_count': count, 'instance_count': 2 * count}
    for image in truth['images']:
        image['file_name'] = f'{image["id"]:012}.jpg'
    (folder / 'truth.json').write_text(json.dumps(truth))
    write_pictures(folder / 'pictures', truth['images'])

    num_classes = len(truth['categories'])
    judged = np.array(
        [image['id'] * num_classes + k for image in truth['images'] for k in image[_NEGATIVE]]
        + [a['image_id'] * num_classes + a['category_id'] for a in truth['annotations']]
    )
    # a test encodes no other masks
    masked = np.isin(columns['image_id'] * num_classes + columns['category_id'], judged)
    codes = []
    for boxes in np.array_split(columns['bbox'][masked], max(num_images // 100, 1)):
        outlines = polygons(rng, boxes).tolist()
        codes += [rle['counts'] for rle in mask_utils.frPyObjects(outlines, HEIGHT, WIDTH)]
    np.savez(
        folder / 'detections.npz',
        **columns,
        masked=np.flatnonzero(masked),
        codes=np.frombuffer(b''.join(codes), np.uint8),
        lengths=np.array([len(code) for code in codes]),
    )


def write_pictures(folder: Path, images: list[dict]) -> None:
    """A file for each image; there are few different ones."""
    import cv2

    rng = np.random.default_rng(2)
    folder.mkdir()
    for number in range(NUM_PICTURES):
        coarse = rng.uniform(0, 255, (HEIGHT // 20, WIDTH // 20, 3)).astype(np.uint8)
        picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f'{number}.jpg'), picture)
    for image in images:
        os.link(folder / f'{image["id"] % NUM_PICTURES}.jpg', folder / image['file_name'])
