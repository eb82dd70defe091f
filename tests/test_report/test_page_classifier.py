import base64
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from lt_det.errors import BadInputError, MissingFileError
from lt_det.evaluation.long_tail_accuracy import LongTailAccuracy
from lt_det.frequency import ClassFrequency
from lt_det.report.page.classified import Classified
from lt_det.report.page.data import collect

from .page_cases import HOSTILE

TRAIN = [3, 19, 20, 100, 101]
GROUPS = ['few', 'few', 'medium', 'medium', 'many']


def write_run(folder, seed=0, num_images=60):
    """A work dir of a classifier; returns the metrics and the metric."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(0).integers(0, 4, num_images)  # no image of the last class
    logits = rng.normal(size=(num_images, 5)) + 1.5 * np.eye(5)[labels]
    metric = LongTailAccuracy()
    metric.dataset_meta = {'classes': HOSTILE}
    metric.set_class_frequency(ClassFrequency(TRAIN, TRAIN, 300))
    for label, row in zip(labels.tolist(), torch.tensor(logits).softmax(1)):
        metric.process(None, [dict(pred_score=row, gt_label=torch.tensor([label]))])
    metrics = metric.evaluate(num_images)
    metrics = {key.split('/')[-1]: value for key, value in metrics.items()}
    folder.mkdir(parents=True)
    paths = [str(folder / f'{i}.png') for i in range(num_images)]
    for path in paths[1:]:  # one is not there
        cv2.imwrite(path, rng.integers(0, 255, (200, 300, 3)).astype(np.uint8))
    dataset = SimpleNamespace(get_data_info=lambda i: {'img_path': paths[i]})
    Classified.of(metric, dataset).write(folder / 'predictions.npz')
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    (folder / 'run.json').write_text(json.dumps({'kind': 'classifier', 'ann_file': 'val.txt'}))
    return metrics, metric


def test_every_number_is_that_of_the_metric(tmp_path):
    metrics, metric = write_run(tmp_path / 'run')
    page = collect(tmp_path / 'run')
    assert page['kind'] == 'classifier' and page['errors'] is None
    tiles = {tile['metric']: tile for tile in page['tiles']}
    assert set(tiles) == {'top1', 'top5', 'macro', 'medium', 'few'}  # of many there is no image
    for name, tile in tiles.items():
        assert tile['value'] == metrics[name]
        if name != 'top5':
            assert tile['interval'][0] <= tile['value'] <= tile['interval'][1]
    classes = page['classes']
    assert classes['name'] == HOSTILE and classes['group'] == GROUPS
    assert classes['train_images'] == TRAIN
    accuracy = [row['accuracy'] for row in metric.per_class]
    assert classes['ap']['accuracy'] == [None if a < 0 else pytest.approx(a) for a in accuracy]
    label, predicted = metric.predictions[:, :2].T.astype(int).tolist()
    pairs = Counter((a, b) for a, b in zip(label, predicted) if a != b)
    shown = {(c['truth'], c['predicted']): c['count'] for c in page['flows']['confusions']}
    assert shown == pairs
    for k in range(5):
        assert classes['images'][k] == label.count(k)
        assert classes['hits'][k] == sum(a == b == k for a, b in zip(label, predicted))
        assert classes['misses'][k] == sum(n for (a, _), n in pairs.items() if a == k)
        assert classes['false_positives'][k] == sum(n for (_, b), n in pairs.items() if b == k)
        most = max((n for (a, _), n in pairs.items() if a == k), default=None)
        assert (classes['confused_with'][k] or {}).get('count') == most
    assert page['flows']['columns'] == ['correct', 'few', 'medium', 'many']
    for group, row in page['flows']['groups'].items():
        own = [(a, b) for a, b in zip(label, predicted) if group in ('all', GROUPS[a])]
        expected = [sum(a == b for a, b in own)]
        for name in ('few', 'medium', 'many'):
            expected.append(sum(a != b and GROUPS[b] == name for a, b in own))
        assert row == expected
    for group, scores in page['scores']['groups'].items():
        if group != 'many':
            assert scores['ece'] == metrics['ece' if group == 'all' else f'ece_{group}']
        found = metric.reliability[group]
        assert [b['count'] for b in scores['bins']] == found.count[found.count > 0].tolist()
        total = sum(scores['hits']) + sum(scores['false_positives'])
        assert total == found.count.sum() and len(scores['edges']) == 51
    assert page['scores']['groups']['many']['ece'] is None
    json.dumps(page, allow_nan=False)


def test_the_baseline_is_paired(tmp_path):
    metrics, _ = write_run(tmp_path / 'run', 1)
    before, _ = write_run(tmp_path / 'base', 2)
    page = collect(tmp_path / 'run', tmp_path / 'base')
    for tile in page['tiles']:
        assert tile['difference'] == metrics[tile['metric']] - before[tile['metric']]
    same = collect(tmp_path / 'run', tmp_path / 'run')
    assert all(t['difference_interval'] in ([0, 0], None) for t in same['tiles'])
    assert same['classes']['against']['difference'] == [0, 0, 0, 0, None]
    write_run(tmp_path / 'other', 2, num_images=50)
    with pytest.raises(BadInputError, match='expected a baseline on the same images'):
        collect(tmp_path / 'run', tmp_path / 'other')


def test_pictures_are_small_and_the_rarest_classes_come_first(tmp_path):
    write_run(tmp_path / 'run')
    page = collect(tmp_path / 'run')
    assert 0 < len(page['gallery']) <= 200
    groups = [page['classes']['group'][crop['class']] for crop in page['gallery'][:3]]
    assert groups == ['few'] * 3
    for crop in page['gallery']:
        jpeg = np.frombuffer(base64.b64decode(crop['src'].split(',')[1]), np.uint8)
        assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape == (107, 160, 3)
        assert (crop['kind'] == 'hit') == (crop['truth'] == crop['predicted'])
        assert crop['class'] == crop['predicted' if crop['kind'] == 'false_positive' else 'truth']
    Path(tmp_path / 'run' / 'predictions.npz').unlink()
    page = collect(tmp_path / 'run')
    assert page['classes'] is None and page['gallery'] == []
    assert 'has no predictions.npz' in page['notes'][0]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match='does not exist'):
        Classified.read(tmp_path / 'predictions.npz')
    (tmp_path / 'predictions.npz').write_bytes(b'no archive')
    with pytest.raises(BadInputError, match='expected predictions of a classifier'):
        Classified.read(tmp_path / 'predictions.npz')


def test_a_baseline_is_of_the_same_images_in_any_order(tmp_path):
    write_run(tmp_path / 'run', 1)
    write_run(tmp_path / 'base', 2)
    path = tmp_path / 'base/predictions.npz'
    results = Classified.read(path)
    results.image = Classified.read(tmp_path / 'run/predictions.npz').image
    results.write(path)
    expected = collect(tmp_path / 'run', tmp_path / 'base', resamples=5)
    order = np.random.default_rng(0).permutation(len(results.label))
    for name in ('label', 'predicted', 'confidence', 'image'):
        setattr(results, name, getattr(results, name)[order])
    results.write(path)
    assert collect(tmp_path / 'run', tmp_path / 'base', resamples=5)['tiles'] == expected['tiles']
    for name in ('image', 'name'):
        other = Classified.read(path)
        values = getattr(other, name).astype('U99')
        values[0] = 'another.png'
        setattr(other, name, values)
        other.write(path)
        with pytest.raises(BadInputError, match='images, labels or names of classes differ'):
            collect(tmp_path / 'run', tmp_path / 'base', resamples=5)
        results.write(path)
