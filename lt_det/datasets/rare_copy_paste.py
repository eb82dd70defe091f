"""Objects of rare classes, pasted from other images."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type
from mmdet.structures.mask import BitmapMasks

from ..dataset_parts import items_of
from ..errors import BadInputError
from ..values import check_values
from .compact_masks import CompactMasks

Crop = tuple[int, int, np.ndarray]


@TRANSFORMS.register_module()
class RareCopyPaste(BaseTransform):
    """Pastes objects of rare classes from another image, each at a random place.

    Copy-paste (Ghiasi et al., arXiv 2012.07177) of rare classes alone: a class is drawn among those
    in at most ``max_images`` images, then one of its images; up to ``max_objects`` of that image's
    objects of such classes are pasted, without blending. What they cover goes from the masks and
    boxes of other objects, and an object with hardly a pixel left goes altogether, by the rule of
    MMDetection's ``CopyPaste``. Unlike there, images may differ in size, and neither images nor
    masks are copied whole.

    In the pipeline of a ``MultiImageMixDataset``, behind the pipeline that loads, resizes and flips
    both images::

        dataset = dict(
            type='MultiImageMixDataset',
            dataset=dict(type='LVISV1Dataset', pipeline=[...]),
            pipeline=[dict(type='RareCopyPaste'), dict(type='PackDetInputs')],
        )

    Statistics of the classes (``ClassFrequencyHook``) stay those of the annotations. Reads and sets
    ``img``, ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags`` and ``gt_masks``.

    Args:
        max_images: Classes in at most this many images of the data set are pasted; an instance that
            training ignores does not count.
        prob: Probability that an image gets objects.
        max_objects: Pasted into an image at most.
        bbox_occluded_thr: An object stays where its box moved by no more pixels at any side, or
        mask_occluded_thr: where more than so many of its pixels are left.

    Raises:
        BadInputError: A number outside its range, a data set without a rare class, or objects
            without masks.
    """

    def __init__(
        self,
        max_images: int = 100,
        prob: float = 0.5,
        max_objects: int = 3,
        bbox_occluded_thr: float = 10,
        mask_occluded_thr: int = 300,
    ) -> None:
        check_values(
            'RareCopyPaste',
            max_images=(max_images, 'a whole number >= 1'),
            prob=(prob, 'a number in [0, 1]'),
            max_objects=(max_objects, 'a whole number >= 1'),
            bbox_occluded_thr=(bbox_occluded_thr, 'a number >= 0'),
            mask_occluded_thr=(mask_occluded_thr, 'a number >= 0'),
        )
        self.max_images = max_images
        self.prob = prob
        self.max_objects = max_objects
        self.bbox_occluded_thr = bbox_occluded_thr
        self.mask_occluded_thr = mask_occluded_thr
        self._of: Any = None  # the data set that the next two are of
        self._images: list[np.ndarray] = []  # of each rare class
        self._rare = np.zeros(0, bool)  # by label

    def get_indexes(self, dataset: Any) -> list[int]:
        """Index of an image with a rare class; none where nothing is pasted."""
        if self._of is not dataset:
            self._find(dataset)
        if np.random.random() >= self.prob:
            return []
        images = self._images[np.random.randint(len(self._images))]
        return [int(np.random.choice(images))]

    def _find(self, dataset: Any) -> None:
        """Find the rare classes of a data set and their images."""
        image, label = items_of(dataset).labels(learned=True)
        size = max(len(dataset), 1)
        label, image = np.divmod(np.unique(label * size + image), size)
        labels, start, count = np.unique(label, return_index=True, return_counts=True)
        few = count <= self.max_images
        if not few.any():
            least = count.min() if len(count) else 'no'
            raise BadInputError(
                f'RareCopyPaste.max_images is {self.max_images}, but the rarest class of the data '
                f'set is in {least} images; expected a larger number'
            )
        self._images = [part for part, rare in zip(np.split(image, start[1:]), few) if rare]
        self._rare = np.zeros(labels.max() + 1, bool)
        self._rare[labels[few]] = True
        self._of = dataset

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Paste what ``mix_results`` has of rare classes."""
        sources = results.get('mix_results', ())
        if sources:
            results['gt_masks'] = _compact(results)
        for source in sources:
            source['gt_masks'] = _compact(source)
            ignored = source['gt_ignore_flags'] | source['gt_masks'].maskless
            usable = np.flatnonzero(~ignored)  # an ignored one may be of a class without others
            usable = usable[self._rare[source['gt_bboxes_labels'][usable]]]
            chosen = np.random.permutation(usable)[: self.max_objects]
            for index in chosen.tolist():
                pixels = source['gt_masks'].crops[index][2]
                free = np.subtract(results['img'].shape[:2], pixels.shape).clip(min=0)
                top, left = np.random.randint(free + 1).tolist()
                self.paste(results, source, index, top, left)
        return results

    def paste(self, results: dict, source: dict, index: int, top: int, left: int) -> None:
        """Paste object ``index`` of ``source``, its mask's rectangle at (top, left), cut off at the
        border; both have CompactMasks and boxes of MMDetection."""
        height, width = results['img'].shape[:2]
        y, x, pixels = source['gt_masks'].crops[index]
        pixels = pixels[: height - top, : width - left]
        if not pixels.any():
            return
        rows, columns = pixels.shape
        shown = pixels.astype(bool)
        place = results['img'][top : top + rows, left : left + columns]
        place[shown] = source['img'][y : y + rows, x : x + columns][shown]
        boxes, masks = results['gt_bboxes'], results['gt_masks']
        crops, stays = list(masks.crops), np.ones(len(masks), bool)
        for number, crop in enumerate(crops):
            covered = _without(crop, (top, left, shown))
            if covered is None:
                continue
            crops[number] = covered
            if not masks.maskless[number]:
                old, new = boxes.tensor[number], boxes.tensor.new_tensor(_box(covered))
                unmoved = (new - old).abs().max() <= self.bbox_occluded_thr
                left_over = int(covered[2].sum())
                stays[number] = left_over > (0 if unmoved else self.mask_occluded_thr)
                boxes.tensor[number] = new
        box = source['gt_bboxes'][[index]]
        box.translate_((left - x, top - y))
        box.clip_((height, width))
        results['gt_bboxes'] = boxes.cat([boxes[torch.from_numpy(stays)], box])
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = np.append(results[key][stays], source[key][index])
        results['gt_masks'] = CompactMasks.from_crops(
            [*(crop for crop, kept in zip(crops, stays) if kept), (top, left, pixels)],
            height,
            width,
            np.append(masks.maskless[stays], False),
        )


def _compact(results: dict) -> CompactMasks:
    """The masks of an image by the crops of their objects, which are cut out once."""
    masks = results.get('gt_masks')
    if not isinstance(masks, BitmapMasks):
        raise BadInputError(
            f'RareCopyPaste got gt_masks of type {type(masks).__name__}, expected bitmaps: load '
            'them with with_mask=True and poly2mask=True'
        )
    if not isinstance(masks, CompactMasks):
        masks = CompactMasks(masks.masks, masks.height, masks.width)
    return CompactMasks.from_crops(masks.crops, masks.height, masks.width, masks.maskless)


def _without(crop: Crop, over: Crop) -> Crop | None:
    """A crop less the pixels of another one over it; None where they have none in common."""
    (top, left, pixels), (y, x, shown) = crop, over
    first_row, first = max(top, y), max(left, x)
    last_row = min(top + pixels.shape[0], y + shown.shape[0])
    last = min(left + pixels.shape[1], x + shown.shape[1])
    if last_row <= first_row or last <= first:
        return None
    own = np.s_[first_row - top : last_row - top, first - left : last - left]
    other = shown[first_row - y : last_row - y, first - x : last - x]
    if not (pixels[own].astype(bool) & other).any():
        return None
    pixels = pixels.copy()
    pixels[own][other] = 0
    return top, left, pixels


def _box(crop: Crop) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 around the pixels of a crop, end excluded."""
    top, left, pixels = crop
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(pixels))
    return left + x, top + y, left + x + width, top + y + height
