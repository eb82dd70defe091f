import numpy as np
import pytest

from lt_det.frequency import ClassFrequency
from lt_det.report import summarize
from lt_det.report.summary import summarize_shots


@pytest.mark.parametrize(
    ('images', 'bounds', 'text'),
    [
        ([10, 11, 100, 101], (10, 100), '(1 rare, 2 common, 1 frequent), imbalance 10.1'),
        ([10, 11, 100, 101], (11, 50), '(2 rare, 2 frequent), imbalance 10.1'),
        ([0, 2, 3, 0], (10, 100), '(2 rare, 2 without images), imbalance 1.5'),
        ([0, 0, 0, 0], (10, 100), '(4 without images)'),
    ],
)
def test_classes_by_group(images, bounds, text):
    frequency = ClassFrequency(images, [1000, *images[1:]], 200)
    total = 1000 + sum(images[1:])
    assert summarize(frequency, bounds) == f'{total:,} instances of 4 classes {text}'


def test_classes_of_a_classifier():
    """In the groups of its metrics: few < 20 <= medium <= 100 < many."""
    frequency = ClassFrequency([1, 19, 20, 100, 101, 0], num_images=300)
    split = '(2 few-shot, 2 medium-shot, 1 many-shot, 1 without images)'
    assert split in summarize_shots(frequency)
    names, sizes = np.unique(frequency.groups('shot'), return_counts=True)
    assert dict(zip(names, sizes)) == {'few': 3, 'medium': 2, 'many': 1}
