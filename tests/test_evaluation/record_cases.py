"""A detection, its parts, and the size of its image."""

from pycocotools import mask as mask_utils

SIDE = 120


def corners(box):
    x, y, w, h = box
    return [[x, y, x, y + h, x + w, y + h, x + w, y]]


def encoded(box, as_text):
    rle = mask_utils.frPyObjects(corners(box), SIDE, SIDE)[0]
    return {**rle, 'counts': rle['counts'].decode()} if as_text else rle


def detection(**changes):
    box = [10.0, 10.0, 20.0, 20.0]
    record = {'image_id': 1, 'category_id': 1, 'bbox': box, 'score': 0.5}
    return {**record, 'segmentation': encoded(box, as_text=True), **changes}


def without(record, key):
    return {k: v for k, v in record.items() if k != key}
