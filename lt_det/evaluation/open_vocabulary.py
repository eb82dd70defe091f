"""Accuracy on classes that were in training and on classes that were not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from ..errors import BadInputError


@METRICS.register_module()
class OpenVocabularyAccuracy(BaseMetric):
    """Means of the accuracies of classes, in 0..1, where all classes of the evaluation compete.

    ``seen`` and ``unseen``: classes that were in training and that were not; ``harmonic``: their
    harmonic mean, the measure of generalised zero-shot learning (Xian et al., arXiv 1707.00600);
    ``unseen_alone``: unseen classes when only they compete; ``top1`` over all images. -1 where
    there is no image.

    Args:
        unseen: Labels of the classes that were not in training.

    Raises:
        BadInputError: When images are evaluated, a label of ``unseen`` is none of the classes.
    """

    default_prefix = 'accuracy'

    def __init__(
        self, unseen: Sequence[int], collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.unseen = sorted(set(unseen))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep label, prediction, and prediction among the unseen classes."""
        scores = torch.stack([sample['pred_score'] for sample in data_samples])  # (B, C)
        labels = torch.cat([sample['gt_label'] for sample in data_samples])
        if self.unseen and not 0 <= self.unseen[0] <= self.unseen[-1] < scores.shape[1]:
            raise BadInputError(
                f'OpenVocabularyAccuracy.unseen has labels {self.unseen[0]}..{self.unseen[-1]}, '
                f'the model evaluates {scores.shape[1]} classes'
            )
        unseen = torch.tensor(self.unseen, dtype=torch.int64, device=scores.device)
        among = unseen[scores[:, unseen].argmax(1)] if self.unseen else scores.argmax(1)
        rows = torch.stack([labels.to(scores.device), scores.argmax(1), among], 1)
        self.results.extend(rows.cpu().numpy())

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Metrics of N rows (3,) of :meth:`process`."""
        labels, predicted, among = np.stack(results).T
        new = np.isin(labels, self.unseen)

        def mean(chosen: np.ndarray, named: np.ndarray) -> float:
            present = np.unique(labels[chosen])
            right = [(named[labels == label] == label).mean() for label in present]
            return float(np.mean(right)) if right else -1.0

        seen, unseen = mean(~new, predicted), mean(new, predicted)
        harmonic = 2 * seen * unseen / (seen + unseen) if seen > 0 and unseen > 0 else 0.0
        return dict(
            top1=float((labels == predicted).mean()),
            seen=seen,
            unseen=unseen,
            harmonic=-1.0 if min(seen, unseen) < 0 else harmonic,
            unseen_alone=mean(new, among),
        )
