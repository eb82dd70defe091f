"""Repeat factor sampling (Gupta et al. 2019)."""

from __future__ import annotations

import numpy as np
from mmengine.dataset import BaseDataset, ClassBalancedDataset
from mmengine.registry import DATASETS


@DATASETS.register_module()
class RepeatFactorDataset(ClassBalancedDataset):
    """MMEngine's ClassBalancedDataset, with the same indices, without reading an item twice.

    Every image is repeated ``ceil(max_c sqrt(oversample_thr / f_c))`` times, where f_c is the share
    of the images with class c, over the classes of the image. The labels come at once from a data
    set with ``all_cat_ids`` (LongTailLVISDataset), from others item by item.

    Args:
        dataset: Data set or its config.
        oversample_thr: Share of images below which the images of a class are repeated.
        lazy_init: Whether to leave reading the data set to ``full_init``.
    """

    def _get_repeat_factors(self, dataset: BaseDataset, repeat_thr: float) -> list[float]:
        """Repeat factor of each of the N images."""
        num_images = len(dataset)
        if hasattr(dataset, 'all_cat_ids'):
            image, label = dataset.all_cat_ids()
        else:
            labels = [dataset.get_cat_ids(index) for index in range(num_images)]
            image = np.repeat(np.arange(num_images), [len(some) for some in labels])
            label = np.concatenate([[], *labels]).astype(np.int64)
        num_classes = label.max(initial=-1) + 1
        image, label = np.divmod(np.unique(image * num_classes + label), max(num_classes, 1))
        share = np.bincount(label, minlength=num_classes) / num_images
        factor = np.ones(num_images)
        np.maximum.at(factor, image, np.sqrt(repeat_thr / share[label]))
        return factor.tolist()
