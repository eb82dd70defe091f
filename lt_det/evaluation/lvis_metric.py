"""LVIS evaluation for MMDetection's test loop."""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from ..errors import BadInputError
from .detections import Detections
from .ground_truth import LVISGroundTruth
from .grouping import within_limit
from .lvis_eval import IOU_TYPES, LVISEvaluator
from .matching import Matches
from .per_class import check_per_class_file, format_per_class, per_class_table, write_per_class
from .predictions import add_masks, match_classes, read_instances


@METRICS.register_module()
class LongTailLVISMetric(BaseMetric):
    """AP of lvis-api, exactly, from predictions that are matched as they come.

    Each image is cut to its best detections, those that the federated annotations cannot judge are
    dropped before their masks are encoded, and the rest is matched at once. Only scores and match
    flags are kept and gathered. The outcome does not depend on the batch size, the order of images
    or the number of processes, and an image that a distributed sampler repeats counts once.

    Scored are the images that were processed: on a subset of the annotation file (``indices`` of a
    data set, a filter) the metrics describe that subset, and a warning says so. Scored categories
    are the ``classes`` of the data set; all must be in the annotation file. Where there is no
    annotation to find, in an area range or a frequency group, the value is -1, as in lvis-api; a
    model without any detection has AP 0.

    Args:
        ann_file: Path of the LVIS json.
        metric: Some of 'bbox', 'segm' and 'boundary'.
        max_per_img: Number of detections of an image that count.
        fixed_ap: Whether to add fixed_AP and AP_pool (see ``LVISEvaluator.fixed_ap``). The model
            should then not be limited to 300 detections an image.
        classwise: Whether to log the AP of every category.
        per_class_file: Where to write the AP of every category, as .csv or .parquet.
        outfile_prefix: Where to write results for other tools, as ``PREFIX.bbox.json`` and
            ``PREFIX.segm.json``. All masks are then encoded and gathered.
        collect_device: 'cpu' or 'gpu', how results are gathered.
        prefix: Prefix of the names of the metrics instead of 'lvis'.
        backend_args: Backend from which ``ann_file`` is read.

    Attributes:
        per_class (list[dict]): Rows of ``per_class_table`` after the last evaluation; in the main
            process only.
        evaluators (dict[str, LVISEvaluator]): By IoU type, with the arrays of the last evaluation.

    Raises:
        MissingFileError: The annotation file does not exist.
        BadInputError: It is no LVIS json, an option is unknown, the classes of the data set do not
            belong to it, or a prediction has NaN in it.
    """

    default_prefix = 'lvis'

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        max_per_img: int = 300,
        fixed_ap: bool = False,
        classwise: bool = False,
        per_class_file: str | None = None,
        outfile_prefix: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        if not self.metrics or not set(self.metrics) <= set(IOU_TYPES):
            raise BadInputError(f'metric is {metric!r}; expected some of {IOU_TYPES}')
        if per_class_file is not None:
            check_per_class_file(per_class_file)
        self.ann_file = ann_file
        self.max_per_img = max_per_img
        self.fixed_ap = fixed_ap
        self.classwise = classwise
        self.per_class_file = per_class_file
        self.outfile_prefix = outfile_prefix
        with get_local_path(ann_file, backend_args=backend_args) as path:
            self.truth = LVISGroundTruth(path, masks=self.metrics != ['bbox'])
        self.truth.source = str(ann_file)
        self.evaluators = {
            iou_type: LVISEvaluator(self.truth, iou_type, max_dets=max_per_img)
            for iou_type in self.metrics
        }
        self.per_class: list[dict] = []
        self._categories = np.arange(self.truth.num_categories)

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        """Checks the classes of the data set against the annotation file."""
        self._dataset_meta = dataset_meta
        if dataset_meta and dataset_meta.get('classes'):
            self._categories = match_classes(dataset_meta['classes'], self.truth)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Matches the predictions of a batch.

        Args:
            data_batch: Not used.
            data_samples: Dicts with img_id and pred_instances: scores (N,), labels (N,), bboxes
                (N, 4) as x1, y1, x2, y2 in pixels of the original image, and for 'segm' masks
                (N, H, W), or N RLE dicts.
        """
        for sample in data_samples:
            found = np.flatnonzero(self.truth.image_ids == sample['img_id'])
            if not len(found):
                raise BadInputError(f'image {sample["img_id"]} is not in {self.ann_file}')
            result: dict[str, Any] = {'image': int(found[0])}
            for iou_type in self.metrics:
                result[iou_type] = self._match(int(found[0]), sample['pred_instances'], iou_type)
            self.results.append(result)

    def _match(self, image: int, instances: Any, iou_type: str) -> dict[str, Any]:
        """Outcomes of one image, and records for the result file, if one is asked for."""
        with_masks = iou_type != 'bbox'
        detections = read_instances(instances, image, self._categories, self.truth, with_masks)
        kept = within_limit(detections.image, detections.score, self.max_per_img)
        scored = self.truth.find_pairs(detections.image, detections.category) >= 0
        if with_masks:
            needed = kept if self.outfile_prefix is not None else kept & scored
            if self.fixed_ap:
                needed = needed | scored
            add_masks(detections, instances, np.flatnonzero(needed), self.truth)
        evaluator = self.evaluators[iou_type]
        result = {'matches': evaluator.match(detections.take(np.flatnonzero(kept & scored)))}
        if self.fixed_ap:
            result['fixed'] = evaluator.match_all(detections)
        if self.outfile_prefix is not None:
            result['records'] = self._records(detections.take(np.flatnonzero(kept)))
        return result

    def _records(self, detections: Detections) -> list[dict]:
        """Detections as in a result json of lvis-api; with masks, they carry no box."""
        records = []
        for i in range(len(detections)):
            record = {
                'image_id': int(self.truth.image_ids[detections.image[i]]),
                'category_id': int(self.truth.category_ids[detections.category[i]]),
                'score': float(detections.score[i]),
            }
            if detections.segmentations is None:
                record['bbox'] = detections.boxes[i].tolist()
            else:
                mask = detections.segmentations[i]
                record['segmentation'] = {**mask, 'counts': mask['counts'].decode()}
            records.append(record)
        return records

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Metrics of all processed images.

        Args:
            results: What ``process`` kept, of all processes, in any order.

        Returns:
            bbox_AP, bbox_AP50 ... segm_APf, segm_AR@300 in 0..1, -1 where there is no annotation.
        """
        by_image = {result['image']: result for result in reversed(results)}
        images = np.zeros(self.truth.num_images, dtype=bool)
        images[list(by_image)] = True
        if not images.all():
            print_log(
                f'scored on the {images.sum()} images with predictions, out of the '
                f'{len(images)} of {self.ann_file}',
                logger='current',
                level=logging.WARNING,
            )
        categories = np.zeros(self.truth.num_categories, dtype=bool)
        categories[self._categories] = True
        metrics: dict[str, float] = OrderedDict()
        for iou_type, evaluator in self.evaluators.items():
            parts = [by_image[i][iou_type] for i in sorted(by_image)]
            evaluator.images, evaluator.categories = images, categories
            values = {}
            if self.fixed_ap:
                fixed = Matches.concatenate([part['fixed'] for part in parts])
                values = evaluator.accumulate_fixed(fixed)
            matches = Matches.concatenate([part['matches'] for part in parts])
            values = {**evaluator.accumulate(matches), **values}
            metrics.update({f'{iou_type}_{key}': value for key, value in values.items()})
            if self.outfile_prefix is not None:
                self._write(iou_type, [part['records'] for part in parts])
        self.per_class = [
            row for row, used in zip(per_class_table(self.evaluators), categories) if used
        ]
        if self.classwise:
            print_log('\n' + format_per_class(self.per_class), logger='current')
        if self.per_class_file is not None:
            write_per_class(self.per_class, self.per_class_file)
        return metrics

    def _write(self, iou_type: str, records: list[list[dict]]) -> None:
        path = f'{self.outfile_prefix}.{iou_type}.json'
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with open(path, 'w') as file:
            json.dump([record for image in records for record in image], file)
        print_log(f'wrote {path}', logger='current')
