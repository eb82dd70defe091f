from __future__ import annotations

import numpy as np
import pytest
import torch

from lt_det.errors import BadInputError
from lt_det.evaluation.retrieval import average_precision
from lt_det.evaluation.word_retrieval import WordRetrieval


def naive(scores, relevant) -> list[float]:
    """Average precision of each word: walk down its ranking."""
    result = []
    for word in range(scores.shape[1]):
        ranking = sorted(range(len(scores)), key=lambda image: -scores[image, word])
        found, precision = 0, []
        for rank, image in enumerate(ranking, 1):
            if relevant[image, word]:
                found += 1
                precision.append(found / rank)
        result.append(sum(precision) / len(precision) if precision else float('nan'))
    return result


def test_average_precision():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        scores = rng.integers(0, 6, (30, 8)).astype(dtype)  # with ties
        relevant = rng.random((30, 8)) < 0.2
        relevant[:, 3] = False
        np.testing.assert_allclose(average_precision(scores, relevant), naive(scores, relevant))
    perfect = average_precision(relevant.astype(float), relevant)
    assert np.isnan(perfect[3]) and set(perfect[~np.isnan(perfect)]) == {1.0}


def test_metric_leaves_out_images_without_words():
    rng = np.random.default_rng(1)
    scores = rng.random((5, 4), np.float32)
    words = [[0, 1], [], [1], None, [3]]
    metric = WordRetrieval()
    for row, some in zip(scores, words):
        sample = dict(pred_words=torch.from_numpy(row))
        if some is not None:
            sample['words'] = np.array(some, np.int64)
        metric.process(None, [sample])
    # MMEngine merges ranks item by item without None, and cuts to the number of images
    assert len(metric.results) == 5 and all(metric.results)
    relevant = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], bool)
    expected = np.nanmean(naive(scores[[0, 2, 4]], relevant))
    assert metric.evaluate(5) == {'words/word_map': np.float64(expected).item()}
    metric.process(None, [dict(pred_words=torch.from_numpy(scores[0]))])
    assert metric.evaluate(1) == {'words/word_map': -1.0}
    with pytest.raises(BadInputError, match='predicts no words; .* inference=True'):
        metric.process(None, [dict(pred_score=torch.ones(3))])
