import pytest

from lt_det.frequency import ClassFrequency
from lt_det.report import summarize


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
