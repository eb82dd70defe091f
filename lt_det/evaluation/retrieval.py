"""Mean average precision of ranked retrieval; numpy only.

Shapes: N images, V words.
"""

from __future__ import annotations

import numpy as np


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Average precision of each word when images are ranked by its score, (V,).

    The mean, over the images that have the word, of the share of such images among those ranked as
    high or higher (Manning et al., Introduction to Information Retrieval, section 8.4). Images of
    equal score keep their order. nan for a word that no image has.

    Args:
        scores: (N, V), higher is more.
        relevant: (N, V) boolean.
    """
    order = np.argsort(-scores, axis=0, kind='stable')
    hits = np.take_along_axis(relevant, order, axis=0)
    precision = np.cumsum(hits, axis=0) / np.arange(1, len(hits) + 1)[:, None]
    with np.errstate(invalid='ignore'):
        return (precision * hits).sum(0) / hits.sum(0)
