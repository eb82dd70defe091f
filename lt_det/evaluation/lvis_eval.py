"""AP on LVIS and COCO json, with the numbers of lvis-api and pycocotools, by training frequency."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInputError, DataWarning
from . import engine
from .detections import Detections, within_limit
from .ground_truth import FREQUENCY_GROUPS, GroundTruth
from .reader import DetectionReader

if TYPE_CHECKING:
    from ..formats.annotation_columns import AnnotationColumns
    from ..frequency import ClassFrequency

IOU_TYPES = ('bbox', 'segm', 'boundary')
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA_NAMES = ('all', 'small', 'medium', 'large')
Input = Sequence[dict] | Mapping[str, Sequence] | str | os.PathLike | Detections


class LVISEvaluator:
    """Average precision and recall, from detections of any framework.

    Under LVIS's rules the arrays equal those of lvis-api 0.5.3 (``LVISEval.eval``) exactly: the
    same 300 detections of an image count, ties are broken the same way, categories that are not
    verified on an image are left out of it, and the area of a detection is that of its box where it
    has one, even when masks are compared. Under COCO's rules they equal those of pycocotools, with
    100 detections of each category of an image. One case differs from both on purpose: an
    annotation with id 0 can be found here.

    T = 10 IoU thresholds 0.50:0.05:0.95, R = 101 recall points, I images in the order of the file,
    K categories by ascending id, A = 4 area ranges: all, small (up to 32 x 32 pixels), medium (up
    to 96 x 96), large. Metrics are in 0..1, and -1 where there is no annotation to find.

    Detections are given as dicts with image_id, category_id, score and bbox (x, y, width, height in
    pixels) or segmentation (polygons or RLE); as a dict of such columns, bbox (N, 4); or as the
    path of a json file with a list of records. A record without a mask is compared by its box, one
    without a box by the box of its mask.

    Args:
        annotations: Path of an LVIS or COCO json, its content, its columns, or a ``GroundTruth``.
        iou_type: 'bbox', 'segm', or 'boundary': masks that also agree on their boundaries (needs
            ``pip install 'vernier>=0.5.4,<0.6'``).
        max_dets: Number of detections that count, of an image (lvis) or of each category of an
            image (coco), all if negative; by default 300 and 100.
        skip_invalid: Whether to leave invalid detections out and count them in ``skipped``, by
            field, instead of raising; annotations without a usable mask are then ignored.
        image_ids: Images to score; all by default. Other detections are left out.
        category_ids: Categories to score; all by default.
        num_workers: Threads of the engine, if this is the first evaluation of the process; by
            default all cores. The metrics are the same.
        protocol, frequency, bounds: Rules and groups, see ``GroundTruth``.

    Attributes:
        truth (GroundTruth): Annotations.
        images (np.ndarray): (I,) bool, those that are scored.
        categories (np.ndarray): (K,) bool, likewise.
        precision (np.ndarray): (T, R, K, A), after an evaluation.
        recall (np.ndarray): (T, K, A), likewise.
        skipped (Counter): Numbers of detections left out when last read, by invalid field.

    Raises:
        MissingFileError: A file does not exist.
        BadInputError: The annotations, the detections or an option cannot be used.
    """

    def __init__(
        self,
        annotations: str | os.PathLike | dict | AnnotationColumns | GroundTruth,
        iou_type: str = 'bbox',
        max_dets: int | None = None,
        skip_invalid: bool = False,
        image_ids: Sequence[int] | None = None,
        category_ids: Sequence[int] | None = None,
        num_workers: int | None = None,
        protocol: str = 'auto',
        frequency: ClassFrequency | None = None,
        bounds: Sequence[int] | None = None,
    ) -> None:
        if iou_type not in IOU_TYPES:
            raise BadInputError(f'iou_type is {iou_type!r}; expected one of {IOU_TYPES}')
        if num_workers is not None:
            os.environ.setdefault('RAYON_NUM_THREADS', str(max(num_workers, 1)))
        if not isinstance(annotations, GroundTruth):
            annotations = GroundTruth(annotations, protocol, frequency, bounds)
        self.truth = annotations
        self.iou_type = iou_type
        self.max_dets = engine.MAX_DETS[self.truth.protocol] if max_dets is None else max_dets
        self.images = self._chosen('image_ids', image_ids, self.truth.image_ids)
        self.categories = self._chosen('category_ids', category_ids, self.truth.category_ids)
        if iou_type != 'bbox' and not skip_invalid:
            self.truth.check_masks()
        if iou_type == 'boundary':
            from . import boundary

            boundary.check_installed()
        self._reader = DetectionReader(self.truth, skip_invalid, iou_type == 'bbox')
        self._arrays = engine.Arrays.empty(self.truth, self.max_dets)

    @property
    def precision(self) -> np.ndarray:
        return self._arrays.spread('precision')

    @property
    def recall(self) -> np.ndarray:
        return self._arrays.spread('recall')

    @property
    def skipped(self) -> Counter:
        return self._reader.skipped

    def read(self, detections: Input) -> Detections:
        """Detections as columns, to be scored several times without being read again."""
        if not isinstance(detections, Detections):
            detections = self._reader.read(detections)
        if self.images.all():
            return detections
        return detections.take(self.images[detections.image])

    def evaluate(self, detections: Input) -> dict[str, float]:
        """AP and recall, overall, by size and by training frequency.

        Returns:
            AP, AP50, AP75, APs, APm, APl, APr, APc, APf, AR@300, ARs@300, ARm@300, ARl@300 (lvis);
            AR@1, AR@10, AR@100, ARs@100 ... (coco).
        """
        if not (isinstance(detections, (str, os.PathLike)) and self._evaluate_file(detections)):
            self._run(self.read(detections))
        return self.summarize()

    def _evaluate_file(self, path: str | os.PathLike) -> bool:
        """Let the engine read the file; False where that has to be done record by record."""
        if self.iou_type == 'boundary' or not self._reader.look_first(path):
            return False
        dt = engine.load_file(self.truth, path, self.iou_type)
        if dt is None:
            return False
        with ThreadPoolExecutor(1) as pool:  # the engine matches meanwhile
            good = pool.submit(self._reader.look, path)
            arrays = engine.run(
                self.truth, dt, self.iou_type, self.max_dets, self.images, self.categories
            )
        if good.result():
            self._reader.skipped.clear()
            self._arrays = arrays
        return good.result()

    def _run(self, detections: Detections, max_dets: int | None = None) -> None:
        """Evaluate detections and set the arrays."""
        if not len(detections):
            warnings.warn(
                f'{self._reader.source}: no detection to score, AP is 0', DataWarning, stacklevel=3
            )
        limit = self.max_dets if max_dets is None else max_dets
        if self.iou_type == 'boundary':
            from . import boundary

            used = (self.truth, detections, limit, self.images, self.categories)
            self._arrays = boundary.run(*used)
            return
        dt = engine.load(self.truth, detections, self.iou_type)
        self._arrays = engine.run(
            self.truth, dt, self.iou_type, limit, self.images, self.categories
        )

    def set_arrays(self, arrays: engine.Arrays) -> dict[str, float]:
        """The metrics of ``evaluate`` from arrays that come from elsewhere."""
        self._arrays = arrays
        return self.summarize()

    def fixed_ap(
        self,
        detections: Input,
        max_per_category: int = 10000,
        per_image: Sequence[int] | None = None,
    ) -> dict[str, float]:
        """AP without a limit on detections of an image (Dave et al., arXiv 2102.01066).

        The arrays are then those of this AP.

        Args:
            detections: Detections in any form.
            max_per_category: Number of detections of a category that count, over all images.
            per_image: Numbers of detections of the images, if some were left out before.

        Returns:
            fixed_AP, fixed_AP50 ... fixed_APf, and AP_pool: that of all categories ranked in one
            list, which is sensitive to the calibration of scores across categories.
        """
        detections = self.read(detections)
        number = np.bincount(detections.image) if per_image is None else np.array(per_image)
        self._warn_if_cut(number, 'fixed AP and AP-pool')
        # equal scores are ranked by image, as in the engine
        order = np.argsort(self.truth.image_ids[detections.image], kind='stable')
        detections = detections.take(order)
        kept = within_limit(detections.category, detections.score, max_per_category)
        detections = detections.take(kept)
        self._run(detections, max_dets=-1)
        metrics = {f'fixed_{k}': v for k, v in self.summarize().items() if k.startswith('AP')}
        metrics['AP_pool'] = self._pooled(detections)
        return metrics

    def _pooled(self, detections: Detections) -> float:
        """AP of all categories in one list: every judged pair becomes an image of one category."""
        from .pooling import pooled

        used = self.categories[detections.category]
        truth, pairs = pooled(self.truth, detections.take(used), self.images, self.categories)
        evaluator = LVISEvaluator(truth, self.iou_type, max_dets=-1, skip_invalid=True)
        evaluator._run(pairs)
        return evaluator.summarize()['AP']

    def proposal_recall(
        self, detections: Input, limits: Sequence[int] = (100, 300, 1000)
    ) -> dict[str, float]:
        """Recall of annotations of the scored categories, whatever category is predicted.

        Args:
            detections: Detections in any form.
            limits: Numbers of detections of an image that count.

        Returns:
            AR@100, ARs@100, ARm@100, ARl@100 and so on, averaged over the IoU thresholds.
        """
        from .pooling import class_agnostic

        detections = self.read(detections)
        per_image = np.bincount(detections.image)
        self._warn_if_cut(per_image, 'recall of more detections', max(limits))
        truth, objects = class_agnostic(self.truth, detections, self.images, self.categories)
        evaluator = LVISEvaluator(truth, self.iou_type, max_dets=-1, skip_invalid=True)
        metrics = {}
        for limit in limits:
            evaluator._run(objects, max_dets=limit)
            for a, name in enumerate(AREA_NAMES):
                key = f'AR{name[0] if a else ""}@{limit}'
                metrics[key] = _mean(evaluator.recall[..., a])
        return metrics

    def diagnose(self, detections: Input) -> dict:
        """Errors by kind, confusions and calibration by training frequency, as plain json.

        Of boxes or masks; for iou_type 'boundary' it raises BadInputError, as ``compare`` does.
        """
        from .diagnosis import diagnose

        chosen = self.max_dets, self.images, self.categories
        return diagnose(self.truth, self._in_kind(detections), self.iou_type, *chosen)

    def compare(self, first: Input, second: Input, num_resamples: int = 200) -> dict:
        """Difference of two runs with its interval, as ``diagnosis.compare`` gives it."""
        from .diagnosis import compare

        return compare(
            self.truth,
            self._in_kind(first),
            self._in_kind(second),
            self.iou_type,
            num_resamples,
            max_dets=self.max_dets,
            images=self.images,
            categories=self.categories,
        )

    def _in_kind(self, detections: Input) -> Detections:
        """Detections with what is compared: boxes of their own, or those of their masks."""
        if self.iou_type == 'boundary':
            raise BadInputError(
                "iou_type is 'boundary'; expected 'bbox' or 'segm': detections are diagnosed and "
                'compared by boxes or masks'
            )
        detections = self.read(detections)
        return detections.boxed(self.truth) if self.iou_type == 'bbox' else detections

    def _warn_if_cut(self, counts: np.ndarray, what: str, wanted: int | None = None) -> None:
        """Say that results were cut to a usual limit before they came here."""
        limit = int(counts.max(initial=0))
        if limit in engine.MAX_DETS.values() and (wanted is None or wanted > limit):
            warnings.warn(
                f'{self._reader.source}: {(counts == limit).sum()} images have exactly {limit} '
                f'detections and none has more: the results seem to be cut to that limit, and '
                f'{what} are those of what is left',
                DataWarning,
                stacklevel=3,
            )

    def summarize(self) -> dict[str, float]:
        """The metrics of ``evaluate`` from the arrays."""
        recall = self._arrays.recall
        precision, known = self._of_area(0)
        metrics = {'AP': _mean(precision)}
        for percent in (50, 75):
            metrics[f'AP{percent}'] = _mean(precision[np.isclose(IOU_THRESHOLDS, percent / 100)])
        for a, name in enumerate(AREA_NAMES[1:], start=1):
            metrics[f'AP{name[0]}'] = _mean(self._of_area(a)[0])
        for group in FREQUENCY_GROUPS:
            metrics[f'AP{group}'] = _mean(precision[:, :, self._in_group(group)[known]])
        for place, limit in enumerate(engine.limits_of(self.truth, self.max_dets)[:-1]):
            metrics[f'AR@{limit}'] = _mean(recall[..., 0, place])
        suffix = f'@{self.max_dets}' if self.max_dets >= 0 else ''
        for a, name in enumerate(AREA_NAMES):
            metrics[f'AR{name[0] if a else ""}{suffix}'] = _mean(recall[..., a, -1])
        return metrics

    def _of_area(self, a: int) -> tuple[np.ndarray, np.ndarray]:
        """Precision (T, R, D) of the D categories that have annotations of a size, and which."""
        known = self._arrays.recall[0, :, a, -1] > -1
        return self._arrays.precision[:, :, known, a, -1], known

    def frequency_by_area(self) -> dict[str, dict[str, float]]:
        """AP of each frequency group in each area range: group 'r', 'c', 'f' -> range -> AP."""
        return {
            group: {
                name: _mean(self._arrays.precision[:, :, self._in_group(group), a, -1])
                for a, name in enumerate(AREA_NAMES)
            }
            for group in FREQUENCY_GROUPS
        }

    def category_ap(self) -> np.ndarray:
        """(K,) AP of each category."""
        ap = np.full(len(self.categories), -1.0)
        precision = self._arrays.precision[:, :, :, 0, -1]
        ap[self._arrays.categories] = [_mean(precision[:, :, p]) for p in range(precision.shape[2])]
        return ap

    def _in_group(self, group: str) -> np.ndarray:
        return self.truth.frequency[self._arrays.categories] == group

    def _chosen(self, name: str, ids: Sequence[int] | None, known: np.ndarray) -> np.ndarray:
        if ids is None:
            return np.ones(len(known), dtype=bool)
        unknown = np.setdiff1d(ids, known)
        if len(unknown):
            raise BadInputError(f'{name} has {unknown[0]}, which is not in {self.truth.source}')
        return np.isin(known, ids)


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
