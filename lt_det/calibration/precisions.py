"""AP of each category under each setting, and over which categories and images it is taken.

Shapes: I images and K categories of the held-out file, C classes, R rows of image weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..evaluation.detections import Detections
from ..evaluation.diagnosis.comparison import THRESHOLDS, means_of_known, resampled_precision
from ..evaluation.diagnosis.matches import Matches, match
from ..evaluation.ground_truth import GroundTruth
from ..frequency import ClassFrequency
from .detector_data import DetectorData
from .spool import Spool, to_matches


class AveragePrecisions:
    """AP of each category under each setting, with images that count more or less often.

    Args:
        truth: Annotations.
        spool: Matched detections of each setting.
        images: (I,) bool, those that are scored.
        iou_type: ``'bbox'`` or ``'segm'``.
    """

    def __init__(
        self, truth: GroundTruth, spool: Spool, images: np.ndarray, iou_type: str = 'bbox'
    ) -> None:
        self.truth = truth
        self.spool = spool
        self.images = images
        nothing = Detections.concatenate([])
        self._counted = match(truth, nothing, iou_type, -1, THRESHOLDS, images).counted
        self._last: tuple[int, Matches] | None = None

    def __call__(self, number: int, weights: np.ndarray) -> np.ndarray:
        """AP (R, K) of setting ``number`` where image i counts ``weights[r, i]`` times."""
        if self._last is None or self._last[0] != number:
            rows = self.spool.rows(number)
            matches = to_matches(rows, self.truth.image_ids, self._counted, len(THRESHOLDS))
            self._last = number, matches
        return resampled_precision(self.truth, self._last[1], weights)


def metrics_of(
    precisions: AveragePrecisions, number: int, groups: Mapping[str, np.ndarray]
) -> dict[str, float | None]:
    """Metrics of a setting on all images that are scored, None where there is nothing to find."""
    values = precisions(number, precisions.images[None].astype(np.int32))
    means = {name: means_of_known(values[:, classes])[0] for name, classes in groups.items()}
    return {name: None if np.isnan(mean) else float(mean) for name, mean in means.items()}


def scored_images(data: DetectorData) -> np.ndarray:
    """(I,) bool, images of the held-out file that the data set shows."""
    dataset = data.dataset
    ids = [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]
    images = np.zeros(data.truth.num_images, bool)
    images[data.truth.find_images(np.array(ids))] = True
    return images


def rarest_class(
    truth: GroundTruth, frequency: ClassFrequency, categories: np.ndarray
) -> np.ndarray:
    """(I,) the category of an image with the fewest training images, -1 of one without any."""
    count = np.full(truth.num_categories, np.iinfo(np.int64).max)
    count[categories] = frequency.image_count
    order = np.lexsort((truth.category, count[truth.category], truth.image))
    image, first = np.unique(truth.image[order], return_index=True)
    rarest = np.full(truth.num_images, -1)
    rarest[image] = truth.category[order][first]
    return rarest


def positives(truth: GroundTruth, images: np.ndarray) -> dict[str, np.ndarray]:
    """(K,) annotations of each category on some images, and images with it."""
    of_images = images[truth.image]
    pairs = np.unique(truth.image[of_images] * truth.num_categories + truth.category[of_images])
    size = truth.num_categories
    return {
        'annotations': np.bincount(truth.category[of_images], minlength=size),
        'images': np.bincount(pairs % size, minlength=size),
    }
