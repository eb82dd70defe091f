"""How well the words of an image are told from the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from ..errors import BadInputError
from .retrieval import average_precision


@METRICS.register_module()
class WordRetrieval(BaseMetric):
    """Retrieval by words: mean average precision over the words that evaluated images have.

    Reads ``pred_words`` (V,), which ``CrossModalHead`` predicts, and ``words`` of the data set.
    ``word_map`` is in 0..1; -1 where no image has words. Images without words are left out. N x V
    scores are kept, as float32.

    Args:
        collect_device: 'cpu' or 'gpu', how results are gathered.
        prefix: Prefix of the names of the metrics instead of 'words'.

    Raises:
        BadInputError: The model predicts no words.
    """

    default_prefix = 'words'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep scores and words of every image, by whose number ranks are merged."""
        if 'pred_words' not in data_samples[0]:
            raise BadInputError(
                'WordRetrieval: the model predicts no words; it needs a CrossModalHead with '
                'inference=True'
            )
        scores = torch.stack([sample['pred_words'] for sample in data_samples]).float().cpu()
        for sample, row in zip(data_samples, scores.numpy()):
            words = sample.get('words', ())
            self.results.append((row, np.asarray(words, np.int64)))

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """Metrics of N pairs of scores (V,) and words (n,)."""
        described = [(row, words) for row, words in results if len(words)]
        if not described:
            return dict(word_map=-1.0)
        scores = np.stack([row for row, _ in described])
        relevant = np.zeros(scores.shape, bool)
        for row, (_, words) in zip(relevant, described):
            row[words] = True
        return dict(word_map=float(np.nanmean(average_precision(scores, relevant))))
