"""Accuracies and calibration error against loops, against MMPretrain, and through the metric."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample

from lt_det.errors import BadInputError
from lt_det.evaluation.classification import class_accuracy, group_means, reliability
from lt_det.evaluation.long_tail_accuracy import LongTailAccuracy
from lt_det.frequency import ClassFrequency
from lt_det.report import format_table, plot_accuracy_by_frequency, plot_reliability

COUNTS = [500, 101, 100, 20, 19, 1, 7]
C, N = len(COUNTS), 200


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, C - 1, N)  # the last class has no image
    logits = rng.normal(size=(N, C)) + 2 * np.eye(C)[labels] * (rng.random(N) < 0.6)[:, None]
    scores = torch.from_numpy(logits).softmax(1)
    return labels, scores


def evaluate(labels, scores, **kwargs) -> tuple[LongTailAccuracy, dict[str, float]]:
    metric = LongTailAccuracy(**kwargs)
    metric.dataset_meta = dict(classes=[f'class {c}' for c in range(C)])
    metric.set_class_frequency(ClassFrequency(COUNTS))
    samples = [
        DataSample().set_gt_label(int(y)).set_pred_score(s).to_dict()
        for y, s in zip(labels, scores)
    ]
    for start in range(0, len(samples), 64):
        metric.process(None, samples[start : start + 64])
    return metric, metric.evaluate(len(samples))


def naive(labels, scores) -> dict[str, float]:
    right = {c: [] for c in range(C)}
    confidence, correct, among = [], [], []
    for y, row in zip(labels, scores.tolist()):
        best = sorted(range(C), key=lambda c: -row[c])
        right[y].append(best[0] == y)
        confidence.append(row[best[0]])
        correct.append(best[0] == y)
        among.append(y in best[:5])
    accuracy = {c: sum(r) / len(r) for c, r in right.items() if r}

    def mean(values):
        return sum(values) / len(values)

    def ece(chosen):
        total = 0
        for m in range(15):
            inside = [i for i in chosen if m / 15 < confidence[i] <= (m + 1) / 15]
            if inside:
                gap = mean([correct[i] for i in inside]) - mean([confidence[i] for i in inside])
                total += len(inside) / len(chosen) * abs(gap)
        return total

    members = dict(
        many=[c for c in accuracy if COUNTS[c] > 100],
        medium=[c for c in accuracy if 20 <= COUNTS[c] <= 100],
        few=[c for c in accuracy if COUNTS[c] < 20],
    )
    values = dict(top1=mean(correct), top5=mean(among), macro=mean(list(accuracy.values())))
    values['ece'] = ece(range(N))
    for name, classes in members.items():
        values[name] = mean([accuracy[c] for c in classes])
        values[f'ece_{name}'] = ece([i for i, y in enumerate(labels) if y in classes])
    return values


def test_metrics_equal_loops_and_mmpretrain(predictions):
    labels, scores = predictions
    _, found = evaluate(labels, scores)
    expected = {f'accuracy/{name}': value for name, value in naive(labels, scores).items()}
    assert found == pytest.approx(expected)
    (top1,), (top5,) = Accuracy.calculate(scores, torch.from_numpy(labels), topk=(1, 5))
    assert found['accuracy/top1'] * 100 == pytest.approx(top1.item(), rel=1e-5)
    assert found['accuracy/top5'] * 100 == pytest.approx(top5.item(), rel=1e-5)


def test_group_means_are_means_of_classes_not_of_images():
    labels = np.array([0] * 9 + [1])
    accuracy = class_accuracy(labels, np.array([True] * 9 + [False]), 3)
    np.testing.assert_array_equal(accuracy, [1, 0, np.nan])
    groups = np.array(['many', 'many', 'few'])
    assert group_means(accuracy, groups) == dict(many=0.5, medium=-1, few=-1)


def test_perfectly_calibrated_and_overconfident():
    confidence = np.repeat([0.2, 0.8], 100)
    correct = np.concatenate([np.arange(100) < 20, np.arange(100) < 80])
    assert reliability(confidence, correct).calibration_error == pytest.approx(0)
    assert reliability(confidence, correct & False).calibration_error == pytest.approx(0.5)
    assert reliability(np.array([]), np.array([])).calibration_error == -1
    edges = reliability(np.array([0.0, 0.5, 0.50001, 1.0]), np.ones(4), 2)
    assert edges.count.tolist() == [2, 2]


def test_per_class_file_table_and_plots(predictions, tmp_path):
    metric, found = evaluate(*predictions, per_class_file=str(tmp_path / 'classes.csv'))
    with (tmp_path / 'classes.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['image_count'] for row in rows] == [str(n) for n in COUNTS]
    assert rows[0]['frequency'] == 'many' and rows[-1]['accuracy'] == '-1.0'
    assert rows[3]['name'] == 'class 3'
    header, values = format_table(found).splitlines()
    assert header.split() == ['all', 'many', 'medium', 'few', 'macro', 'top5', 'ece']
    assert values.split()[1] == f'{found["accuracy/top1"]:.3f}'
    plot_accuracy_by_frequency(metric.per_class, tmp_path / 'accuracy.png')
    plot_reliability(metric.reliability, tmp_path / 'reliability.png')
    plot_reliability({}, tmp_path / 'empty.png')
    for name in ('accuracy', 'reliability'):
        assert cv2.imread(str(tmp_path / f'{name}.png')).std() > 5


def test_bad_input(predictions):
    with pytest.raises(BadInputError, match='num_bins is 0, expected a whole number >= 1'):
        LongTailAccuracy(num_bins=0)
    with pytest.raises(BadInputError, match=r'expected the ending \.csv or \.parquet'):
        LongTailAccuracy(per_class_file='a.txt')
    labels, scores = predictions
    with pytest.raises(BadInputError, match='has label 7, the training set has 7 classes'):
        evaluate(np.where(labels == 0, 7, labels), scores)
    with pytest.raises(BadInputError, match='has label -1, the training set has 7 classes'):
        evaluate(np.where(labels == 0, -1, labels), scores)
    with pytest.raises(BadInputError, match='not finite; the model has diverged'):
        evaluate(labels, torch.where(scores == scores[3, 2], torch.nan, scores))
    metric = LongTailAccuracy()
    metric.set_class_frequency(ClassFrequency(COUNTS))
    with pytest.raises(BadInputError, match='no image was evaluated'):
        metric.compute_metrics([])
    for number in (C - 1, C + 1):
        metric.dataset_meta = dict(classes=[str(c) for c in range(number)])
        with pytest.raises(BadInputError, match=f'names {number} classes, the training set has 7'):
            metric.compute_metrics([np.zeros(4)])
    metric = LongTailAccuracy()
    with pytest.raises(RuntimeError, match="dict\\(type='ClassFrequencyHook'\\)"):
        metric.compute_metrics([np.zeros(4)])
