"""LVIS and COCO evaluation for MMDetection's test loop."""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.dist import get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from ..errors import BadInputError, DataWarning, listed
from ..formats.annotation_cache import load_columns
from ..formats.annotation_columns import AnnotationColumns
from ..frequency import ClassFrequency
from ..values import check_values
from .detections import Detections
from .ground_truth import GroundTruth, check_bounds
from .kept_detections import write_kept
from .lvis_eval import IOU_TYPES, LVISEvaluator
from .per_class import check_per_class_file, format_per_class, per_class_table, write_per_class
from .predictions import check_masks, check_size, encode_masks, match_classes, read_instances
from .result_writer import write_results
from .streaming import ImageStream, Worker, rows_that_count, rows_within_limit


@METRICS.register_module()
class LongTailLVISMetric(BaseMetric):
    """AP of lvis-api or pycocotools, exactly, from predictions that are matched as they come.

    Each image is cut to its best detections, those that the federated annotations cannot judge are
    dropped before their masks are encoded, and the rest is encoded and matched by a thread while
    the network goes on. Only scores and match flags are kept and gathered. The outcome does not
    depend on the batch size, the order of images or the number of processes, and an image that a
    distributed sampler repeats counts once.

    Scored are the images that were processed: on a subset of the annotation file (``indices`` of a
    data set, a filter) the metrics describe that subset, and a warning says so. Scored categories
    are the ``classes`` of the data set; all must be in the annotation file. Where there is no
    annotation to find, in an area range or a frequency group, the value is -1, as in lvis-api; a
    model without any detection has AP 0. Without any annotation at all (a test set) only the result
    files of ``outfile_prefix`` are written.

    Args:
        ann_file: Path of the LVIS or COCO json.
        metric: Some of 'bbox', 'segm' and 'boundary'.
        max_per_img: Number of detections that count, of an image (lvis, by default 300) or of each
            category of an image (coco, by default 100).
        fixed_ap: Whether to add fixed_AP and AP_pool (see ``LVISEvaluator.fixed_ap``). The model
            should then not be limited to 300 detections an image.
        classwise: Whether to log the AP of every category.
        per_class_file: Where to write the AP of every category, as .csv or .parquet.
        outfile_prefix: Where to write results for other tools, as ``PREFIX.bbox.json`` and
            ``PREFIX.segm.json``. All masks are then encoded and gathered.
        predictions_file: Where to keep the detections that count, as .npz, for ``lt_det report``.
            They are all gathered then, boxes and encoded masks.
        protocol, bounds: Rules and groups, see ``GroundTruth``.
        collect_device: 'cpu' or 'gpu', how results are gathered.
        prefix: Prefix of the names of the metrics instead of the protocol, 'lvis' or 'coco'.
        backend_args: Backend from which ``ann_file`` is read.

    Attributes:
        per_class (list[dict]): Rows of ``per_class_table`` after the last evaluation; in the main
            process only.
        evaluators (dict[str, LVISEvaluator]): By IoU type, with the arrays of the last evaluation.

    Raises:
        MissingFileError: The annotation file does not exist.
        BadInputError: It cannot be used, an option is unknown, the classes of the data set do not
            belong to it, or a prediction has NaN in it.
    """

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        max_per_img: int | None = None,
        fixed_ap: bool = False,
        classwise: bool = False,
        per_class_file: str | None = None,
        outfile_prefix: str | None = None,
        predictions_file: str | None = None,
        protocol: str = 'auto',
        bounds: Sequence[int] | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        if not self.metrics or not set(self.metrics) <= set(IOU_TYPES):
            raise BadInputError(f'metric is {metric!r}; expected some of {IOU_TYPES}')
        if max_per_img != -1:  # all
            limit = (max_per_img, 'a whole number >= 1, or None')
            check_values('LongTailLVISMetric', max_per_img=limit)
        if per_class_file is not None:
            check_per_class_file(per_class_file)
        self.ann_file = ann_file
        self.fixed_ap = fixed_ap
        self.classwise = classwise
        self.per_class_file = per_class_file
        self.outfile_prefix = outfile_prefix
        self.predictions_file = predictions_file
        check_bounds(bounds)
        self._bounds = bounds
        with get_local_path(ann_file, backend_args=backend_args) as path:
            # a copy fetched from elsewhere is gone afterwards
            columns = load_columns(path, cache=backend_args is None)
        columns.source = str(ann_file)
        if not is_main_process():  # one of them says what was dropped or assumed
            warnings.simplefilter('ignore', DataWarning)
        self.truth = GroundTruth(columns, protocol, bounds=bounds if _counted(columns) else None)
        super().__init__(collect_device=collect_device, prefix=prefix or self.truth.protocol)
        self.evaluators = {
            iou_type: LVISEvaluator(self.truth, iou_type, max_per_img) for iou_type in self.metrics
        }
        self.max_per_img = next(iter(self.evaluators.values())).max_dets
        self.per_class: list[dict] = []
        self._categories = np.arange(self.truth.num_categories)
        self._worker = Worker()

    @property
    def wants_frequency(self) -> bool:
        """Whether the groups r, c, f are not known from the annotation file."""
        return self._bounds is not None or not all(self.truth.frequency)

    def use_frequency(self, frequency: ClassFrequency) -> None:
        """Take the groups r, c, f from a training set where the annotation file has none.

        Args:
            frequency: Statistics of the classes of the data set, in the order of their labels.
        """
        if self.wants_frequency and frequency.num_classes == len(self._categories):
            names = [self.truth.category_names[k] for k in self._categories]
            counts = frequency.image_count, frequency.instance_count, frequency.num_images
            self.truth.set_groups(ClassFrequency(*counts, class_names=names), self._bounds)

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        """Check the classes of the data set against the annotation file."""
        self._dataset_meta = dataset_meta
        if dataset_meta and dataset_meta.get('classes'):
            self._categories = match_classes(dataset_meta['classes'], self.truth)
            self._say_what_does_not_count()

    def _say_what_does_not_count(self) -> None:
        annotated = self.truth.annotated(np.ones(self.truth.num_images, bool))
        left_out = np.flatnonzero(annotated & ~self._used)
        if len(left_out) and is_main_process():
            names = [self.truth.category_names[k] for k in left_out.tolist()]
            warnings.warn(
                f'{self.ann_file} has objects of {len(names)} classes that the model does not '
                f'have, which do not count: {listed(names)}; AP of a model that has them is a mean '
                'over more classes',
                DataWarning,
                stacklevel=3,
            )

    @property
    def _used(self) -> np.ndarray:
        """(K,) bool, the categories that are scored."""
        used = np.zeros(self.truth.num_categories, bool)
        used[self._categories] = True
        return used

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take the predictions of a batch; they are encoded and matched by a thread.

        Args:
            data_batch: Not used.
            data_samples: Dicts with img_id and pred_instances: scores (N,), labels (N,), bboxes
                (N, 4) as x1, y1, x2, y2 in pixels of the original image, and for 'segm' masks
                (N, H, W), or N RLE dicts. Where there is an ori_shape, it is compared with the size
                of the image in the annotation file.
        """
        if not self.results:
            used = self._used
            streams = {
                iou_type: ImageStream(self.truth, iou_type, self.max_per_img, used)
                for iou_type in self.metrics
                if iou_type != 'boundary'
            }
            self.results.append({'streams': streams, 'images': [], 'kept': [], 'per_image': []})
        state = self.results[0]
        for sample in data_samples:
            image = int(self.truth.find_images(np.array([sample['img_id']]))[0])
            if image < 0:
                raise BadInputError(f'image {sample["img_id"]} is not in {self.ann_file}')
            instances = sample['pred_instances']
            check_size(sample.get('ori_shape'), image, self.truth)
            by_masks = {
                with_masks: read_instances(
                    instances, image, self._categories, self.truth, with_masks
                )
                for with_masks in {iou_type != 'bbox' for iou_type in self.metrics}
            }
            masks = None
            if True in by_masks:
                check_masks(instances, image, self.truth)
                masks = instances['masks']
            self._worker.submit(partial(self._take, state, image, by_masks, masks))

    def _take(self, state: dict, image: int, by_masks: dict[bool, Detections], masks: Any) -> None:
        """Encode, match and keep what is needed of an image; runs in the thread."""
        truth, limit = self.truth, self.max_per_img
        counted = {w: rows_that_count(truth, d, limit) for w, d in by_masks.items()}
        written = {w: rows_within_limit(truth, d, limit) for w, d in by_masks.items()}
        judged = {w: truth.judged(d.image, d.category) for w, d in by_masks.items()}
        if True in by_masks:
            needed = counted[True] | (judged[True] if self.fixed_ap else False)
            needed = needed | (written[True] if self.outfile_prefix is not None else False)
            by_masks[True].boxes = None
            by_masks[True].segmentations = codes = [None] * len(by_masks[True])
            rows = np.flatnonzero(needed)
            for row, code in zip(rows.tolist(), encode_masks(masks, rows)):
                codes[row] = code
        for iou_type, stream in state['streams'].items():
            with_masks = iou_type != 'bbox'
            stream.add(truth, image, by_masks[with_masks].take(counted[with_masks]))
        files = (self.outfile_prefix, self.predictions_file) != (None, None)
        if self.fixed_ap or 'boundary' in self.metrics or files:
            scored = judged if self.fixed_ap else counted
            parts: dict[Any, Detections] = {}
            for iou_type in self.metrics:
                detections = by_masks[iou_type != 'bbox']
                parts[iou_type] = detections.take(scored[iou_type != 'bbox'])
                if self.outfile_prefix is not None:
                    parts['file', iou_type] = detections.take(written[iou_type != 'bbox'])
                if self.predictions_file is not None:
                    parts['kept', iou_type] = detections.take(counted[iou_type != 'bbox'])
            state['kept'].append((image, parts))
        state['images'].append(image)
        state['per_image'].append(len(next(iter(by_masks.values()))))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Metrics of all processed images.

        Args:
            results: What ``process`` kept, of all processes, in any order.

        Returns:
            bbox_AP, bbox_AP50 ... segm_APf, segm_AR@300 in 0..1, -1 where there is no annotation.
        """
        self._worker.wait()
        images = np.zeros(self.truth.num_images, bool)
        for state in results:
            images[state['images']] = True
        by_image = {image: parts for state in reversed(results) for image, parts in state['kept']}
        kept = [by_image[image] for image in sorted(by_image)]
        if self.outfile_prefix is not None:
            for iou_type in self.metrics:
                if iou_type != 'boundary':
                    path = f'{self.outfile_prefix}.{iou_type}.json'
                    write_results(path, self.truth, [parts['file', iou_type] for parts in kept])
                    print_log(f'wrote {path}', logger='current')
        if not len(self.truth.rows):
            wrote = '' if self.outfile_prefix else '; outfile_prefix writes result files'
            print_log(f'{self.ann_file} has no annotations: no metrics{wrote}', logger='current')
            return {}
        if not images.all():
            print_log(
                f'scored on the {images.sum()} images with predictions, out of the '
                f'{len(images)} of {self.ann_file}',
                logger='current',
                level=logging.WARNING,
            )
        used = self._used
        if self.predictions_file is not None:
            detections = {
                iou_type: Detections.concatenate([parts['kept', iou_type] for parts in kept])
                for iou_type in self.metrics
                if iou_type != 'boundary'
            }
            write_kept(self.predictions_file, self.truth, images, used, detections)
        metrics: dict[str, float] = OrderedDict()
        for iou_type, evaluator in self.evaluators.items():
            evaluator.images, evaluator.categories = images, used
            fixed = {}
            if self.fixed_ap:
                fixed = evaluator.fixed_ap(
                    Detections.concatenate([parts[iou_type] for parts in kept]),
                    per_image=[number for state in results for number in state['per_image']],
                )
            if iou_type == 'boundary':
                values = evaluator.evaluate(
                    Detections.concatenate([parts[iou_type] for parts in kept])
                )
            else:
                streams = [state['streams'][iou_type] for state in results]
                values = evaluator.set_arrays(ImageStream.arrays(streams))
            metrics.update({f'{iou_type}_{k}': v for k, v in {**values, **fixed}.items()})
        self.per_class = [row for row, u in zip(per_class_table(self.evaluators), used) if u]
        if self.classwise:
            print_log('\n' + format_per_class(self.per_class), logger='current')
        if self.per_class_file is not None:
            write_per_class(self.per_class, self.per_class_file)
        return metrics

    def evaluate(self, size: int) -> dict:
        """Gather what the processes kept, one item each, and compute the metrics."""
        self._worker.wait()
        if not self.results:
            self.process(None, [])
        return super().evaluate(get_world_size())


def _counted(columns: AnnotationColumns) -> bool:
    return all(isinstance(c.get('image_count'), int) for c in columns.categories)
