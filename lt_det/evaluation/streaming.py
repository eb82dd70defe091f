"""Matching of images as their detections come, beside the network, and merging over ranks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from .detections import Detections, within_limit
from .engine import Arrays, limits_of
from .ground_truth import GroundTruth

if TYPE_CHECKING:
    from hotcoco import StreamingEval


class ImageStream:
    """Detections of one image after another; only match flags and scores are kept.

    The outcome does not depend on the order of the images or on how they are shared out, and an
    image that comes twice counts once. It pickles, so that ranks can send theirs.

    Args:
        truth: Annotations.
        iou_type: 'bbox' or 'segm'.
        max_dets: See ``engine.run``.
        categories: (K,) bool, those that are scored; without annotations they take no part.
    """

    def __init__(
        self, truth: GroundTruth, iou_type: str, max_dets: int, categories: np.ndarray
    ) -> None:
        from hotcoco import Params, StreamingEval

        params = Params(iou_type)
        params.max_dets = limits_of(truth, max_dets)
        self.categories = categories & truth.annotated(np.ones(truth.num_images, bool))
        records = [r for r, used in zip(truth.category_records(), self.categories) if used]
        federated = truth.protocol == 'lvis'
        self.engine: StreamingEval = StreamingEval(records, iou_type, federated, params)

    def add(self, truth: GroundTruth, image: int, detections: Detections) -> None:
        """Match the detections of an image: all that count, and no others."""
        masks = detections.segmentations is not None
        detections = detections.take(self.categories[detections.category])
        annotations = truth.annotation_records(image, masks, self.categories)
        if truth.protocol == 'lvis':  # lvis-api leaves out detections without an area
            detections = detections.take(detections.areas() > 0)
        records = detections.records(truth) if masks else detections.array(truth)
        if not len(detections):
            records = []
        self.engine.update([truth.image_record(image)], annotations, records)

    @staticmethod
    def arrays(streams: list[ImageStream]) -> Arrays:
        """Those of all images of some streams."""
        from hotcoco import StreamingEval

        evaluation = StreamingEval.merge([stream.engine for stream in streams]).finalize()
        evaluation.accumulate()
        return Arrays.of(evaluation, streams[0].categories)


def rows_within_limit(truth: GroundTruth, detections: Detections, max_dets: int) -> np.ndarray:
    """(N,) bool, the best detections of an image (lvis), or of each category of it (coco)."""
    group = detections.category if truth.protocol == 'coco' else detections.image
    return within_limit(group, detections.score, max_dets)


def rows_that_count(truth: GroundTruth, detections: Detections, max_dets: int) -> np.ndarray:
    """(N,) bool, those of them that can be scored."""
    kept = rows_within_limit(truth, detections, max_dets)
    return kept & truth.judged(detections.image, detections.category)


class Worker:
    """One thread that works through jobs in turn, while the caller goes on.

    An error of a job is raised by the next call.

    Args:
        most: Number of jobs that may wait; ``submit`` waits for the oldest beyond that, which
            bounds the memory of what they hold.
    """

    def __init__(self, most: int = 8) -> None:
        self.most = most
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: deque[Future] = deque()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix='lt_det.evaluation')
        self._jobs.append(self._pool.submit(job))
        while len(self._jobs) > self.most or (self._jobs and self._jobs[0].done()):
            self._jobs.popleft().result()

    def wait(self) -> None:
        """Wait until all jobs are done."""
        try:
            while self._jobs:
                self._jobs.popleft().result()
        finally:
            for job in self._jobs:
                job.cancel()
            self._jobs.clear()

    def __deepcopy__(self, memo: dict) -> Worker:
        return Worker(self.most)
