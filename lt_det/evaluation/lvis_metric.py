"""LVIS evaluation for MMDetection's test loop."""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from pycocotools import mask as mask_utils

from ..errors import BadInputError
from .detections import Detections
from .ground_truth import LVISGroundTruth
from .grouping import within_limit
from .lvis_eval import IOU_TYPES, LVISEvaluator
from .matching import Matches
from .per_class import format_per_class, per_class_table


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
        metric: 'bbox', 'segm' or both.
        max_per_img: Number of detections of an image that count.
        classwise: Whether to log the AP of every category.
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
        classwise: bool = False,
        outfile_prefix: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        if not self.metrics or not set(self.metrics) <= set(IOU_TYPES):
            raise BadInputError(f'metric is {metric!r}; expected one or both of {IOU_TYPES}')
        self.ann_file = ann_file
        self.max_per_img = max_per_img
        self.classwise = classwise
        self.outfile_prefix = outfile_prefix
        with get_local_path(ann_file, backend_args=backend_args) as path:
            self.truth = LVISGroundTruth(path, masks='segm' in self.metrics)
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
            image = int(found[0])
            result: dict[str, Any] = {'image': image, 'records': {}}
            for iou_type in self.metrics:
                result[iou_type] = self._match(image, sample['pred_instances'], iou_type, result)
            self.results.append(result)

    def _match(self, image: int, instances: Any, iou_type: str, result: dict) -> Matches:
        """Outcomes of one image; also adds records for the result file, if one is asked for."""
        score_key = 'mask_scores' if iou_type == 'segm' and 'mask_scores' in instances else 'scores'
        scores = _to_numpy(instances[score_key]).astype(np.float64)
        labels = _to_numpy(instances['labels'])
        boxes = _to_numpy(instances['bboxes']).astype(np.float64).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        self._check(image, scores, labels, boxes)
        images = np.full(len(scores), image, dtype=np.int32)
        categories = self._categories[labels].astype(np.int32)
        rows = np.flatnonzero(within_limit(images, scores, self.max_per_img))
        if self.outfile_prefix is None:
            rows = rows[self.truth.find_pairs(images[rows], categories[rows]) >= 0]
        boxes = boxes[rows]
        masks = None
        areas = boxes[:, 2] * boxes[:, 3]
        if iou_type == 'segm':
            if 'masks' not in instances:
                raise BadInputError("metric 'segm' needs masks, but the model predicts none")
            masks = encode_masks(instances['masks'], rows)
            self._check_mask_size(image, masks)
            areas = np.array(mask_utils.area(masks), dtype=np.float64)
        detections = Detections(
            images[rows], categories[rows], scores[rows], areas, boxes=boxes, segmentations=masks
        )
        if self.outfile_prefix is not None:
            result['records'][iou_type] = self._records(detections)
        return self.evaluators[iou_type].match(detections)

    def _check(self, image: int, scores: np.ndarray, labels: np.ndarray, boxes: np.ndarray) -> None:
        where = f'prediction for image {self.truth.image_ids[image]}'
        if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
            raise BadInputError(f'{where}: a score or box is not finite; the model has diverged')
        if (boxes[:, 2:] < 0).any():
            raise BadInputError(f'{where}: a box has x2 < x1 or y2 < y1')
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self._categories):
            raise BadInputError(
                f'{where}: labels reach from {labels.min()} to {labels.max()}, but the data set '
                f'has {len(self._categories)} classes'
            )

    def _check_mask_size(self, image: int, masks: list[dict]) -> None:
        expected = self.truth.image_sizes[image].tolist()
        for mask in masks[:1]:
            if list(mask['size']) != expected:
                raise BadInputError(
                    f'prediction for image {self.truth.image_ids[image]}: masks have the size '
                    f'{list(mask["size"])}, but the image in {self.ann_file} has {expected}'
                )

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
            evaluator.images, evaluator.categories = images, categories
            matches = Matches.concatenate([by_image[i][iou_type] for i in sorted(by_image)])
            for key, value in evaluator.accumulate(matches).items():
                metrics[f'{iou_type}_{key}'] = value
        self.per_class = [
            row for row, used in zip(per_class_table(self.evaluators), categories) if used
        ]
        if self.classwise:
            print_log('\n' + format_per_class(self.per_class), logger='current')
        if self.outfile_prefix is not None:
            self._write([by_image[i]['records'] for i in sorted(by_image)])
        return metrics

    def _write(self, records: list[dict[str, list[dict]]]) -> None:
        os.makedirs(os.path.dirname(self.outfile_prefix) or '.', exist_ok=True)
        for iou_type in self.metrics:
            path = f'{self.outfile_prefix}.{iou_type}.json'
            with open(path, 'w') as file:
                json.dump([record for image in records for record in image[iou_type]], file)
            print_log(f'wrote {path}', logger='current')


def match_classes(classes: Sequence[str], truth: LVISGroundTruth) -> np.ndarray:
    """Category number of each label.

    Names are looked up, so that a data set may use some of the categories only. Class lists in use
    spell single names differently from the annotation file; they are accepted by position if all
    others are in the order of the file.

    Args:
        classes: Names of the labels 0, 1, 2 ...
        truth: Annotations whose categories are sorted by id.

    Returns:
        (number of labels,) int64.

    Raises:
        BadInputError: The classes are not those of the annotation file.
    """
    names = truth.category_names
    if list(classes) == names:
        return np.arange(len(names))
    number = {name: k for k, name in enumerate(names)}
    unknown = [label for label, name in enumerate(classes) if name not in number]
    if not unknown and len(number) == len(names) and len(set(classes)) == len(classes):
        return np.array([number[name] for name in classes])
    aligned = [number.get(name, label) == label for label, name in enumerate(classes)]
    if len(classes) == len(names) and all(aligned) and 2 * len(unknown) < len(names):
        label = unknown[0]
        print_log(
            f'class {label} is {classes[label]!r} in the data set and {names[label]!r} in '
            f'{truth.source}; taken for the same ({len(unknown)} such names)',
            logger='current',
            level=logging.WARNING,
        )
        return np.arange(len(names))
    label = unknown[0] if unknown else 0
    other = repr(names[label]) if label < len(names) else 'nothing'
    raise BadInputError(
        f'the classes of the data set are not the categories of {truth.source}: the data set has '
        f'{len(classes)} classes with {classes[label]!r} as number {label}, the file has '
        f'{len(names)} categories with {other} there'
    )


def encode_masks(masks: torch.Tensor | np.ndarray | Sequence[dict], rows: np.ndarray) -> list[dict]:
    """Compressed RLE of some of the masks of an image.

    Args:
        masks: (N, H, W) boolean or 0/1, on any device, or N RLE dicts.
        rows: (M,) int64 indices of the masks to encode.

    Returns:
        M dicts with 'size' and 'counts' (bytes).
    """
    if not len(rows):
        return []
    if not isinstance(masks, (torch.Tensor, np.ndarray)):
        return [masks[i] for i in rows]
    chosen = torch.as_tensor(masks)
    chosen = chosen[torch.as_tensor(rows, device=chosen.device)]
    # pycocotools reads column by column; transposed here, its input needs no other copy.
    columns = chosen.transpose(1, 2).to(torch.uint8).contiguous().cpu().numpy()
    return mask_utils.encode(columns.transpose(2, 1, 0))


def _to_numpy(values: torch.Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
