import numpy as np
import pytest
import torch

from lt_det.errors import BadInputError
from lt_det.evaluation.open_vocabulary import OpenVocabularyAccuracy


def samples(scores, labels):
    return [
        dict(pred_score=score, gt_label=torch.tensor([label]))
        for score, label in zip(scores, labels, strict=True)
    ]


def evaluate(unseen, scores, labels):
    metric = OpenVocabularyAccuracy(unseen)
    half = len(labels) // 2
    metric.process({}, samples(scores[:half], labels[:half]))
    metric.process({}, samples(scores[half:], labels[half:]))
    return metric.evaluate(len(labels))


def test_against_loops_over_classes():
    rng = np.random.default_rng(0)
    labels, unseen = rng.integers(0, 6, 200).tolist(), [1, 4]
    scores = torch.from_numpy(rng.random((200, 6)))
    for i, label in enumerate(labels):
        scores[i, label] += 0.4
    found = evaluate(unseen, scores, labels)

    def accuracy(label, allowed):
        mine = [i for i, other in enumerate(labels) if other == label]
        best = [max(allowed, key=lambda c, i=i: scores[i, c].item()) for i in mine]
        return sum(b == label for b in best) / len(mine)

    seen = np.mean([accuracy(c, range(6)) for c in (0, 2, 3, 5)])
    new = np.mean([accuracy(c, range(6)) for c in unseen])
    top1 = np.mean([scores[i].argmax().item() == label for i, label in enumerate(labels)])
    expected = dict(
        top1=top1,
        seen=seen,
        unseen=new,
        harmonic=2 / (1 / seen + 1 / new),
        unseen_alone=np.mean([accuracy(c, unseen) for c in unseen]),
    )
    assert found == pytest.approx({f'accuracy/{key}': value for key, value in expected.items()})


def test_groups_without_images():
    found = evaluate([2], torch.eye(3)[[0, 1]], [0, 1])
    assert found['accuracy/unseen'] == found['accuracy/harmonic'] == -1
    assert found['accuracy/seen'] == 1
    assert evaluate([], torch.eye(3)[[0, 1]], [0, 1])['accuracy/seen'] == 1
    with pytest.raises(BadInputError, match=r'unseen has labels 3..3, the model evaluates 3'):
        evaluate([3], torch.eye(3)[[0, 1]], [0, 1])
