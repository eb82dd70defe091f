"""Repeat factor sampling (Gupta et al. 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.dataset import ClassBalancedDataset
from mmengine.registry import DATASETS

from ..dataset_parts import items_of
from ..values import check_values


@DATASETS.register_module()
class RepeatFactorDataset(ClassBalancedDataset):
    """MMEngine's ClassBalancedDataset, with the same indices, of any data set, without reading it.

    Repeat factor sampling (Gupta et al., LVIS, CVPR 2019): every image is repeated ``ceil(max_c
    sqrt(oversample_thr / f_c))`` times, where f_c is the share of the images with class c, over the
    classes of the image; an image without annotations counts in the shares and is not repeated.
    What a wrapper inside joins, repeats or leaves out counts as it is shown: joined files have the
    factors of one file that holds all. The labels come at once from a data set with ``all_cat_ids``
    (LongTailLVISDataset), from others item by item.

    Args:
        dataset: Data set, wrapped or not (:func:`lt_det.dataset_parts.items_of`), or its config.
        oversample_thr: Share of images below which the images of a class are repeated.
        lazy_init: Whether to leave reading the data set to ``full_init``.

    Raises:
        BadInputError: ``oversample_thr`` is no finite number >= 0, or joined data sets number their
            classes differently.
    """

    def __init__(self, dataset: Any, oversample_thr: float, lazy_init: bool = False) -> None:
        share = (oversample_thr, 'a share of images, a finite number >= 0')
        check_values('RepeatFactorDataset', oversample_thr=share)
        # ClassBalancedDataset's own takes no wrapper
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.oversample_thr = oversample_thr
        self._metainfo = getattr(self.dataset, 'metainfo', {})
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read the labels of what is inside and repeat its indices."""
        if self._fully_initialized:
            return
        times = np.ceil(self._get_repeat_factors(self.dataset, self.oversample_thr))
        self.repeat_indices = np.repeat(np.arange(len(times)), times.astype(np.int64)).tolist()
        self._fully_initialized = True

    @property
    def pipeline(self) -> Any:
        """That of what is inside, which ``PipelineSwitchHook`` replaces in the last epochs."""
        return items_of(self.dataset).parts[0].pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        for part in items_of(self.dataset).parts:
            part.pipeline = pipeline

    def _get_repeat_factors(self, dataset: Any, repeat_thr: float) -> np.ndarray:
        """Repeat factor of each of the N images, (N,)."""
        items = items_of(dataset)
        num_images = len(items.index)
        image, label = items.labels()
        num_classes = label.max(initial=-1) + 1
        image, label = np.divmod(np.unique(image * num_classes + label), max(num_classes, 1))
        share = np.bincount(label, minlength=num_classes) / num_images
        factor = np.ones(num_images)
        np.maximum.at(factor, image, np.sqrt(repeat_thr / share[label]))
        return factor
