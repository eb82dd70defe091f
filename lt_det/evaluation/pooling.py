"""Ground truth with all categories in one: for one ranking of all detections, and for proposals."""

from __future__ import annotations

import copy

import numpy as np

from .detections import Detections
from .ground_truth import GroundTruth


def class_agnostic(
    truth: GroundTruth, detections: Detections, images: np.ndarray, categories: np.ndarray
) -> tuple[GroundTruth, Detections]:
    """Annotations and detections as objects of one category, to be found on every image.

    Args:
        truth, detections: Those of all categories.
        images: (I,) bool, images to score.
        categories: (K,) bool, categories to be found; objects of others are matched, but do not
            count.
    """
    number = np.cumsum(images) - 1
    chosen = np.flatnonzero(images[truth.image])
    kept = detections.take(images[detections.image])
    kept.image = number[kept.image]
    hidden = truth.out_of_range | ~categories[truth.category]
    open_ = np.zeros(int(images.sum()), bool)
    pictures = np.flatnonzero(images)
    objects = _one_category(truth, chosen, number[truth.image[chosen]], pictures, open_, hidden)
    return objects, _of_one_category(kept)


def pooled(
    truth: GroundTruth, detections: Detections, images: np.ndarray, categories: np.ndarray
) -> tuple[GroundTruth, Detections]:
    """Every pair of an image and a category judged there as an image of its own.

    Matches stay what they were, and all detections are ranked in one list; pairs are numbered by
    category, then by image id, which decides between equal scores.

    Args:
        truth, detections: Those of all categories.
        images, categories: (I,) and (K,) bool, those to score.
    """
    rank = np.argsort(np.argsort(truth.image_ids))

    def key(image: np.ndarray, category: np.ndarray) -> np.ndarray:
        return category.astype(np.int64) * truth.num_images + rank[image]

    chosen = np.flatnonzero(images[truth.image] & categories[truth.category])
    used = images[detections.image] & truth.judged(detections.image, detections.category)
    kept = detections.take(used & categories[detections.category])
    row_key = key(truth.image[chosen], truth.category[chosen])
    kept_key = key(kept.image, kept.category)
    pairs = np.union1d(row_key, kept_key)
    of_rank = np.argsort(rank)
    pair_image, pair_category = of_rank[pairs % truth.num_images], pairs // truth.num_images
    open_ = truth.partly_annotated(pair_image, pair_category)
    kept.image = np.searchsorted(pairs, kept_key)
    order = np.argsort(row_key, kind='stable')
    chosen, image = chosen[order], np.searchsorted(pairs, row_key[order])
    objects = _one_category(truth, chosen, image, pair_image, open_, truth.out_of_range)
    return objects, _of_one_category(kept)


def _one_category(
    truth: GroundTruth,
    chosen: np.ndarray,
    image: np.ndarray,
    pictures: np.ndarray,
    open_: np.ndarray,
    hidden: np.ndarray,
) -> GroundTruth:
    """The chosen annotations on new images, each of which shows an old one."""
    objects = copy.copy(truth)
    for name in ('judged_keys', '_open_keys', 'ids_fit_floats'):
        objects.__dict__.pop(name, None)
    objects._loaded = {}
    objects.image_ids = np.arange(len(pictures))
    objects.image_sizes = truth.image_sizes[pictures]
    objects._image_order = objects.image_ids
    objects.categories = [{'id': 1, 'name': 'object'}]
    objects.category_names = ['object']
    objects.category_ids = np.ones(1, np.int64)
    objects.frequency = np.array(['f'], dtype=object)
    objects.category = np.zeros(len(chosen), np.int64)
    objects.image, objects.out_of_range = image, hidden[chosen]
    for name in ('rows', 'ids', 'boxes', 'areas', 'crowd', 'ignore'):
        setattr(objects, name, getattr(truth, name)[chosen])
    lists = {'neg_category_ids': lambda image: [1]}
    lists['not_exhaustive_category_ids'] = lambda image: [1] if open_[image] else []
    objects.listed_ids = lambda name, image: lists[name](image)  # type: ignore[method-assign]
    return objects


def _of_one_category(detections: Detections) -> Detections:
    detections.category = np.zeros_like(detections.category)
    return detections
