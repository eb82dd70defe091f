"""Crops of what is found, missed and wrong."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

import cv2
import numpy as np

from ...evaluation.ground_truth import box_polygon
from ...formats.image_paths import find_images
from ...formats.segmentations import to_rle
from .detector import Judged
from .picks import Pick, choose
from .thumbnails import SIDE, as_url, jpeg, outline_of

MOST = 200
_ZOOM = 3.0  # at most so many pixels of a crop per pixel
_MARGIN, _LEAST = 0.3, 8  # around what is shown: of its longer side, pixels


def gallery(judged: Judged, categories: np.ndarray, folder: str, notes: list[str]) -> list[dict]:
    """``gallery`` of the schema.

    Args:
        judged: Matched detections.
        categories: (K,) bool, classes that are reported.
        folder: Of the images.
        notes: Gets a line if images cannot be read.
    """
    picks = choose(judged, categories, MOST)
    images = [_image_of(judged, pick) for pick in picks]
    paths = find_images(judged.truth.columns, folder, images)
    crops: list[dict | None] = [None] * len(picks)
    shown, pixels = None, None
    for number in sorted(range(len(picks)), key=images.__getitem__):
        if paths[number] != shown:  # an image is read once
            shown = paths[number]
            pixels = _read(shown, judged.truth.image_sizes[images[number]].tolist())
        if pixels is not None:
            crops[number] = _crop(judged, picks[number], pixels)
            names = judged.truth.columns.image_names(images[number])
            crops[number]['image'] = next(filter(None, names), '')
    unread = crops.count(None)
    if unread:
        notes.append(
            f'{unread} of {len(picks)} crops are left out: their images are not in {folder!r}, or '
            'not of the annotated size'
        )
    return [crop for crop in crops if crop is not None]


def _image_of(judged: Judged, pick: Pick) -> int:
    if pick.annotation >= 0:
        return int(judged.truth.image[pick.annotation])
    return int(judged.matches.image[pick.detection])


def _read(path: str, size: Sequence[int]) -> np.ndarray | None:
    """(H, W, 3) uint8, None where the image is not there or not of this height and width."""
    if not osp.isfile(path):
        return None
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    return pixels if pixels is not None and list(pixels.shape[:2]) == list(size) else None


def _crop(judged: Judged, pick: Pick, pixels: np.ndarray) -> dict:
    truth, matches = judged.truth, judged.matches
    height, width = pixels.shape[:2]
    frames, masks = {}, {}
    if pick.annotation >= 0:
        frames['truth'] = truth.boxes[pick.annotation]
        masks['truth'] = truth.segmentation(pick.annotation)
    if pick.detection >= 0:
        row = int(matches.rows[pick.detection])
        one = judged.detections.take(np.array([row]))
        frames['detection'] = one.boxed(truth).boxes[0]
        given = one.segmentations and one.segmentations[0]
        masks['detection'] = given or box_polygon(frames['detection'])
    x1, y1, x2, y2 = _window(list(frames.values()), width, height)
    scale = min(SIDE / max(x2 - x1, y2 - y1), _ZOOM)
    size = [max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))]
    part = pixels[y1:y2, x1:x2]
    shrinks = scale < 1
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    scales = np.array(size) / [x2 - x1, y2 - y1]

    def placed(name: str) -> list[float] | None:
        if name not in frames:
            return None
        box = (np.asarray(frames[name]) - [x1, y1, 0, 0]) * np.tile(scales, 2)
        return box.round(1).tolist()

    def outline(name: str) -> list[list[float]] | None:
        if name not in masks or judged.iou_type == 'bbox':
            return None
        from hotcoco import mask as mask_utils

        mask = mask_utils.decode(to_rle(masks[name], height, width))
        return outline_of(np.asarray(mask)[y1:y2, x1:x2], scales)

    return {
        **_words(judged, pick),
        'src': as_url(jpeg(part), 'jpeg'),
        'width': size[0],
        'height': size[1],
        'box': placed('detection'),
        'truth_box': placed('truth'),
        'outline': outline('detection'),
        'truth_outline': outline('truth'),
    }


def _window(frames: list[np.ndarray], width: int, height: int) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of at least a pixel around boxes (x, y, w, h), within the image."""
    boxes = np.array(frames, float)
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    margin = max(_MARGIN * float((high - low).max()), _LEAST)
    limits = np.array([width, height])
    low = np.floor(low - margin).clip(0, limits - 1).astype(int)
    high = np.ceil(high + margin).clip(low + 1, limits).astype(int)
    return (*low.tolist(), *high.tolist())


def _words(judged: Judged, pick: Pick) -> dict:
    """What a crop shows, as numbers and in words."""
    truth, matches = judged.truth, judged.matches
    own = int(truth.category[pick.annotation]) if pick.annotation >= 0 else None
    given = score = iou = None
    if pick.detection >= 0:
        given = int(matches.category[pick.detection])
        score = float(matches.score[pick.detection])
        iou = judged.iou(pick.detection, pick.annotation) if own is not None else None
    name = dict(enumerate(truth.category_names)).get
    if pick.kind == 'hit':
        text = f'{name(own)} found'
    elif pick.kind == 'missed' and given is None:
        text = f'{name(own)} missed: no detection on it'
    elif pick.kind == 'missed' and given == own:
        text = f'{name(own)} missed: the best detection on it takes another one'
    elif pick.kind == 'missed':
        text = f'{name(own)} taken for {name(given)}'
    elif own is None:
        text = f'{name(given)} where nothing is annotated'
    elif own == given:
        text = f'{name(given)} a second time, or not well placed'
    else:
        text = f'{name(given)} where {name(own)} is'
    return {
        'kind': pick.kind,
        'class': given if pick.kind == 'false_positive' else own,
        'predicted': given,
        'truth': own,
        'score': score,
        'iou': iou,
        'text': text,
    }
