"""Accuracies of a long-tailed classifier for MMPretrain's test loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..frequency_module import without_statistics
from ..values import check_values
from .classification import SHOT_GROUPS, class_accuracy, group_means, reliability
from .per_class import check_per_class_file, write_per_class


@METRICS.register_module()
class LongTailAccuracy(BaseMetric):
    """Accuracy over all images and by training frequency, and whether confidences can be trusted.

    In 0..1; -1 where a group has no class: ``top1`` and ``top5`` over all images; ``macro``, the
    mean over classes; ``many``, ``medium``, ``few``, the mean over the classes with more than 100,
    20 to 100 and fewer than 20 training images; ``ece`` and ``ece_many``, ..., the expected
    calibration error over all images and over those of a group. The training counts come from
    ``ClassFrequencyHook``. Per image a label, the prediction and its confidence are kept.

    Args:
        num_bins: Bins of confidence for the calibration error.
        per_class_file: Where to write a row per class, as .csv or .parquet.
        collect_device: 'cpu' or 'gpu', how results are gathered.
        prefix: Prefix of the names of the metrics instead of 'accuracy'.

    Attributes:
        per_class (list[dict]): label, name, frequency (the group), image_count, accuracy (-1: no
            image) and ece of each class after the last evaluation; in the main process only.
        reliability (dict[str, Reliability]): By ``'all'`` and group, likewise.
        predictions (np.ndarray): (N, 4) label, predicted label, its confidence and whether the
            label is among the best five, likewise.

    Raises:
        BadInputError: Bad option; the data set names another number of classes than the statistics
            have, or a label is none of them; a score is not finite; or no image was evaluated.
    """

    default_prefix = 'accuracy'

    def __init__(
        self,
        num_bins: int = 15,
        per_class_file: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_values('LongTailAccuracy', num_bins=(num_bins, 'a whole number >= 1'))
        if per_class_file is not None:
            check_per_class_file(per_class_file)
        self.num_bins = num_bins
        self.per_class_file = per_class_file
        self.frequency: ClassFrequency | None = None
        self.per_class: list[dict] = []
        self.reliability: dict = {}
        self.predictions = np.zeros((0, 4))

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        self.frequency = frequency

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep label, predicted label, confidence and whether the label is among the best five."""
        scores = torch.stack([sample['pred_score'] for sample in data_samples])  # (B, C)
        labels = torch.cat([sample['gt_label'] for sample in data_samples]).to(scores.device)
        confidence, best = scores.topk(min(5, scores.shape[1]))
        among_five = (best == labels[:, None]).any(1)
        columns = torch.stack([labels, best[:, 0], confidence[:, 0].double(), among_five], 1)
        rows = columns.cpu().numpy()
        if not np.isfinite(rows).all():
            raise BadInputError('LongTailAccuracy: a score is not finite; the model has diverged')
        self.results.extend(rows)

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Metrics of N rows (4,) of :meth:`process`."""
        if self.frequency is None:
            raise without_statistics(self)
        frequency = self.frequency
        names = self._names(frequency.num_classes)
        if not results:
            raise BadInputError('LongTailAccuracy: no image was evaluated')
        self.predictions = np.stack(results)
        labels, predicted, confidence, among_five = self.predictions.T
        labels = labels.astype(np.int64)
        outside = labels[(labels < 0) | (labels >= frequency.num_classes)]
        if len(outside):
            raise BadInputError(
                f'an image of the evaluated set has label {outside[0]}, the training set has '
                f'{frequency.num_classes} classes'
            )
        correct = labels == predicted
        accuracy = class_accuracy(labels, correct, frequency.num_classes)
        groups = frequency.groups('shot')
        self.reliability = {'all': reliability(confidence, correct, self.num_bins)}
        for group in SHOT_GROUPS:
            chosen = groups[labels] == group
            self.reliability[group] = reliability(
                confidence[chosen], correct[chosen], self.num_bins
            )
        self.per_class = self._rows(names, frequency, accuracy, labels, confidence, correct)
        if self.per_class_file is not None:
            write_per_class(self.per_class, self.per_class_file)
        errors = {name: bins.calibration_error for name, bins in self.reliability.items()}
        return dict(
            top1=float(correct.mean()),
            top5=float(among_five.mean()),
            macro=float(np.nanmean(accuracy)),
            **group_means(accuracy, groups),
            ece=errors.pop('all'),
            **{f'ece_{name}': value for name, value in errors.items()},
        )

    def _names(self, num_classes: int) -> Sequence[object]:
        """Names of the classes, or their labels where the data set names none."""
        names = (self.dataset_meta or {}).get('classes') or range(num_classes)
        if len(names) != num_classes:
            raise BadInputError(
                f'the evaluated set names {len(names)} classes, the training set has {num_classes}'
            )
        return names

    def _rows(
        self,
        names: Sequence[object],
        frequency: ClassFrequency,
        accuracy: np.ndarray,
        labels: np.ndarray,
        confidence: np.ndarray,
        correct: np.ndarray,
    ) -> list[dict]:
        groups = frequency.groups('shot')
        rows = []
        for label, name in enumerate(names):
            chosen = labels == label
            bins = reliability(confidence[chosen], correct[chosen], self.num_bins)
            rows.append(
                {
                    'label': label,
                    'name': str(name),
                    'frequency': str(groups[label]),
                    'image_count': int(frequency.image_count[label]),
                    'accuracy': float(accuracy[label]) if chosen.any() else -1.0,
                    'ece': bins.calibration_error,
                }
            )
        return rows
