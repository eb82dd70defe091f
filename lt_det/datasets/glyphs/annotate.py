"""LVIS v1 json from rendered objects.

LVIS polygons cannot have holes. The mask of an object is therefore its silhouette (the counters
of a letter belong to it) without what later objects cover, stored as outer contours.
"""

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from .fonts import glyph_name
from .plan import GlyphPlan, ImagePlan
from .recipe import GlyphRecipe
from .render import SUPERSAMPLE, Placed

_DATE = '2025-01-01 00:00:00'
_TOLERANCE = 0.3  # pixels a simplified polygon may leave its contour
_REFINE = 3  # contours are followed on pixels this much finer
_MIN_PIECE = 3.0  # area in pixels below which a detached piece is dropped


def to_polygons(visible: np.ndarray) -> list[list[float]]:
    """Outer contours of a mask.

    Args:
        visible: Boolean (K*S, K*S).

    Returns:
        Polygons [x0, y0, x1, y1, ...] in pixels of the image, largest first, never empty for
        a mask that is not.
    """
    mask = visible.astype(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    # Contours run through pixel centres; on finer pixels that is closer to the real edge.
    scale = SUPERSAMPLE * _REFINE
    crop = mask[top : top + height, left : left + width]
    crop = cv2.resize(crop, None, fx=_REFINE, fy=_REFINE, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(
        crop, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(left * _REFINE, top * _REFINE)
    )
    contours = sorted(contours, key=cv2.contourArea, reverse=True)
    smallest = _MIN_PIECE * scale**2
    polygons = []
    for contour in contours:
        if polygons and cv2.contourArea(contour) < smallest:
            break
        simple = cv2.approxPolyDP(contour, _TOLERANCE * scale, True)
        if len(simple) >= 3:
            points = (simple.reshape(-1).astype(float) + 0.5) / scale
            polygons.append(points.round(3).tolist())
    return polygons


def annotate_image(image: ImagePlan, placed: list[Placed], side: int) -> tuple[dict, list[dict]]:
    """The json entry of an image and its annotations, whose ids are left for later."""
    shown = [obj.category for obj in placed]
    annotations = [_annotate(image, obj, side) for obj in placed]
    not_exhaustive = []
    if image.partial is not None and shown.count(image.partial) > 1:
        not_exhaustive = [image.partial + 1]
        del annotations[shown.index(image.partial)]
    entry = {
        'id': image.image_id,
        'width': side,
        'height': side,
        'file_name': image.path,
        'coco_url': image.path,
        'flickr_url': '',
        'license': 1,
        'date_captured': _DATE,
        'neg_category_ids': [c + 1 for c in image.negatives],
        'not_exhaustive_category_ids': not_exhaustive,
    }
    return entry, annotations


def _annotate(image: ImagePlan, obj: Placed, side: int) -> dict:
    polygons = to_polygons(obj.visible)
    area = mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(polygons, side, side)))
    points = np.concatenate([np.reshape(p, (-1, 2)) for p in polygons])
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return {
        'id': 0,
        'image_id': image.image_id,
        'category_id': obj.category + 1,
        'segmentation': polygons,
        'area': float(area),
        'bbox': [round(float(v), 3) for v in (x0, y0, x1 - x0, y1 - y0)],
    }


def make_categories(plan: GlyphPlan, train_annotations: list[dict]) -> list[dict]:
    """Category entries with the counts and frequency groups of the training annotations."""
    images: list[set[int]] = [set() for _ in plan.glyphs]
    instances = [0] * len(plan.glyphs)
    for annotation in train_annotations:
        images[annotation['category_id'] - 1].add(annotation['image_id'])
        instances[annotation['category_id'] - 1] += 1
    return [
        {
            'id': index + 1,
            'name': glyph_name(char),
            'synset': f'{glyph_name(char)}.n.01',
            'synonyms': [glyph_name(char)],
            'def': f'the character {char} (U+{ord(char):04X})',
            'image_count': len(images[index]),
            'instance_count': instances[index],
            'frequency': frequency_group(len(images[index])),
        }
        for index, char in enumerate(plan.glyphs)
    ]


def frequency_group(image_count: int) -> str:
    """LVIS group of a category: 'r' up to 10 training images, 'c' up to 100, else 'f'."""
    return 'r' if image_count <= 10 else 'c' if image_count <= 100 else 'f'


def make_json(
    recipe: GlyphRecipe, images: list[dict], annotations: list[dict], categories: list[dict]
) -> dict:
    """An LVIS v1 json; annotations are numbered from 1 in their order."""
    return {
        'info': {
            'description': f'glyphs ({recipe.size}), rendered from the DejaVu fonts',
            'url': '',
            'version': str(recipe.version),
            'year': 2025,
            'contributor': '',
            'date_created': _DATE,
        },
        'licenses': [
            {
                'id': 1,
                'name': 'DejaVu fonts license',
                'url': 'https://dejavu-fonts.github.io/License.html',
            }
        ],
        'images': images,
        'annotations': [{**a, 'id': i} for i, a in enumerate(annotations, start=1)],
        'categories': categories,
    }
