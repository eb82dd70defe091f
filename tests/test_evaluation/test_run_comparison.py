"""The paired bootstrap against resampled data sets, and against hotcoco's."""

import json

import numpy as np
import pytest
from hypothesis import given

from lt_det.evaluation.detections import Detections
from lt_det.evaluation.diagnosis import compare
from lt_det.evaluation.diagnosis.comparison import recall_points, resample

from .diagnosis_cases import (
    CATEGORIES,
    GROUPS,
    build,
    cases,
    engine,
    group_of,
    make_case,
    mean,
    near,
    protocols,
    seeds,
)
from .naive_diagnosis import average_precision

FULL, FAR = [0, 0, 20, 20], [60, 60, 20, 20]


def other_run(detections, seed=1):
    """Other scores."""
    rng = np.random.default_rng(seed)
    score = rng.permutation(len(detections)) / len(detections)
    return Detections(detections.image, detections.category, score, detections.boxes)


@protocols
@cases
@given(seed=seeds)
def test_resample_is_the_metric_of_repeated_images(protocol, seed):
    truth_dict, records = make_case(seed, protocol, distinct=True)
    truth, first = build(truth_dict, records, protocol)
    second = other_run(first, seed)
    weights = resample(np.ones(truth.num_images, bool), 1, seed)[1]
    report = compare(truth, first, second, num_resamples=1, seed=seed)
    values = []
    for run in (first, second):
        rows = [{**r, 'score': s} for r, s in zip(records, run.score.tolist())]
        evs = [engine(truth, run), engine(*build(*repeat(truth_dict, rows, weights), protocol))]
        values.append([means_of(ev) for ev in evs])
    for name, entry in [*report['metrics'].items(), *((c['id'], c) for c in report['classes'])]:
        a, b = (run[0].get(name) for run in values)
        assert (entry['a'], entry['b']) == (near(a), near(b))
        assert entry['difference'] == (near(b - a) if a is not None else None)
        a, b = (run[1].get(name) for run in values)
        assert entry['interval'] == ([near(b - a)] * 2 if a is not None else None)


def repeat(truth, detections, weights):
    """A data set in which images are there as often as their weight says."""
    images, annotations, found = [], [], []
    for image, weight in zip(truth['images'], weights.tolist()):
        for copy in range(weight):
            new = {'image_id': 10 * image['id'] + copy}
            images.append({**image, 'id': new['image_id']})
            for source, out in ((truth['annotations'], annotations), (detections, found)):
                out += [{**x, **new} for x in source if x['image_id'] == image['id']]
    annotations = [{**a, 'id': n} for n, a in enumerate(annotations, 1)]
    return {**truth, 'images': images, 'annotations': annotations}, found


def means_of(ev):
    """AP per class and of the groups, what is not there left out."""
    precision = ev.eval['precision'][:, :, :, 0, -1]
    per_class = {
        c: precision[:, :, k].mean()
        for k, (c, _, _) in enumerate(CATEGORIES)
        if precision[0, 0, k] > -1
    }
    result = dict(per_class)
    for group, letters in GROUPS.items():
        members = [v for c, v in per_class.items() if group_of(c) in letters]
        if members:
            result['AP' + group * (group != 'all')] = mean(members)
    return result


def test_identical_runs_do_not_differ():
    truth, detections = build(*make_case(5, 'lvis'))
    report = compare(truth, detections, detections, num_resamples=50)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    for entry in [*report['metrics'].values(), *report['classes']]:
        assert entry['difference'] in (0.0, None) and entry['interval'] in ([0.0, 0.0], None)
    assert report == compare(truth, detections, detections, num_resamples=50)


def many_images(found):
    """Images with one lynx each, which is found where ``found``, after a lamp that is."""
    images = [{'id': i, 'height': 100, 'width': 100} for i in range(1, len(found) + 1)]
    categories = [{'id': i, 'name': n, 'frequency': g} for i, n, g in CATEGORIES]
    annotations = [
        {'id': 2 * i + c + 1, 'image_id': i + 1, 'category_id': 3 - 2 * c, 'bbox': box, 'area': 400}
        for i in range(len(found))
        for c, box in enumerate((FAR, FULL))
    ]
    detections = [
        {'image_id': i + 1, 'category_id': c, 'bbox': box, 'score': 0.9 - i / 1000}
        for i, hit in enumerate(found)
        for c, box in ((3, FAR), (1, FULL))[: 1 + bool(hit)]
    ]
    return {'images': images, 'annotations': annotations, 'categories': categories}, detections


def test_better_run_is_above_zero():
    truth, worse = build(*many_images([True, False] * 20), 'coco')
    _, better = build(*many_images([True] * 40), 'coco')
    report = compare(truth, worse, better)
    assert (
        report['metrics']['AP']['interval'][0] > 0 and report['metrics']['APr']['interval'][0] > 0
    )
    assert report['metrics']['APc']['interval'] == [0.0, 0.0]
    assert 'APf' in report['metrics'] and report['metrics']['APf']['a'] is None
    assert [(c['name'], c['images']) for c in report['classes']] == [('lynx', 40), ('lamp', 40)]
    again = compare(truth, worse, better, seed=1)
    assert again['metrics']['AP']['interval'] != report['metrics']['AP']['interval']
    part = compare(truth, worse, better, images=np.arange(40) % 2 == 0, num_resamples=20)
    assert part['num_images'] == 20 and part['metrics']['AP']['interval'] == [0.0, 0.0]


def test_bootstrap_of_hotcoco_is_too_narrow():
    """It draws with replacement and forgets how often: a sample of 63% without replacement."""
    from hotcoco import compare as hotcoco_compare

    truth, worse = build(*many_images([True, False] * 20), 'coco')
    _, better = build(*many_images([True] * 40), 'coco')
    ours = compare(truth, worse, better, num_resamples=1000)['metrics']['AP']
    theirs = hotcoco_compare(engine(truth, worse), engine(truth, better), n_bootstrap=1000)
    assert theirs['deltas']['AP'] == near(ours['difference'])
    interval = theirs['ci']['AP']
    # the standard error shrinks by sqrt(1 / 0.632 - 1) = 0.76
    width = (interval['upper'] - interval['lower']) / (ours['interval'][1] - ours['interval'][0])
    assert 0.65 < width < 0.87
    assert 'ci' not in theirs['per_category'][0]  # and none per class


def test_recall_points_are_those_of_the_metric():
    points = np.linspace(0, 1, 101)
    for wanted in range(1, 250):
        recall = np.arange(wanted + 1) / wanted
        expected = np.searchsorted(points, recall, 'right')
        np.testing.assert_array_equal(recall_points(recall), expected)
    assert average_precision([True, False, True], 2) == pytest.approx((51 + 50 * 2 / 3) / 101)
