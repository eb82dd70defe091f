"""Every number of a diagnosis against plain loops; where hotcoco agrees, and where it does not."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_det.errors import BadInputError
from lt_det.evaluation.detections import Detections
from lt_det.evaluation.diagnosis import compare, diagnose, format_diagnosis
from lt_det.evaluation.diagnosis.comparison import recall_points, resample
from lt_det.evaluation.ground_truth import GroundTruth

from .naive_diagnosis import CATEGORIES, KINDS, Naive, average_precision, make_case

GROUPS = {'all': 'rcf', 'r': 'r', 'c': 'c', 'f': 'f'}
SHORT = ('Cls', 'Loc', 'Both', 'Dupe', 'Bkg', 'Miss')  # hotcoco's names of KINDS
MAX_DETS = 12
cases = settings(max_examples=40, derandomize=True, deadline=None, database=None)
seeds = st.integers(0, 10_000)
protocols = pytest.mark.parametrize('protocol', ['lvis', 'coco'])


def build(truth, detections, protocol='lvis'):
    """Both as the diagnosis takes them."""
    truth = GroundTruth(truth, protocol)
    columns = [[d[key] for d in detections] for key in ('image_id', 'category_id', 'score', 'bbox')]
    return truth, Detections(
        truth.find_images(np.array(columns[0], np.int64)),
        truth.find_categories(np.array(columns[1], np.int64)),
        np.array(columns[2], float),
        np.array(columns[3], float).reshape(-1, 4),
        [d.get('segmentation') for d in detections],
    )


def engine(truth, detections, iou_type='bbox'):
    """The same in hotcoco, evaluated and accumulated."""
    from hotcoco import COCOeval

    gt = truth.engine(iou_type != 'bbox')
    if truth.protocol == 'lvis':  # lvis-api leaves out what has no area
        detections = detections.take(detections.boxes[:, 2:].prod(1) > 0)
    dt = gt.load_res(detections.array(truth))
    ev = COCOeval(gt, dt, iou_type, lvis_style=truth.protocol == 'lvis')
    ev.evaluate()
    ev.accumulate()
    return ev


def scene(annotations, detections, negative=(), partly=(), protocol='lvis'):
    """One image: annotations (class, box), detections (class, box, score), classes by number."""
    image = {'id': 1, 'height': 100, 'width': 100}
    if protocol == 'lvis':
        image |= {'neg_category_ids': [*negative], 'not_exhaustive_category_ids': [*partly]}
    truth = {
        'images': [image],
        'categories': [{'id': i, 'name': n, 'frequency': g} for i, n, g in CATEGORIES],
        'annotations': [
            {'id': n, 'image_id': 1, 'category_id': c, 'bbox': box, 'area': box[2] * box[3], **more}
            for n, (c, box, *rest) in enumerate(annotations, 1)
            for more in [rest[0] if rest else {}]
        ],
    }
    records = [
        {'image_id': 1, 'category_id': c, 'bbox': box, 'score': s} for c, box, s in detections
    ]
    return build(truth, records, protocol)


def group_of(category):
    return {i: g for i, _, g in CATEGORIES}[category]


def mean(values):
    return sum(values) / len(values) if values else None


def near(value):
    return None if value is None else pytest.approx(value, abs=1e-9)


# The whole diagnosis on small random cases


@protocols
@cases
@given(seed=seeds)
def test_errors_equal_plain_loops(protocol, seed):
    case = make_case(seed, protocol)
    errors = diagnose(*build(*case, protocol), max_dets=MAX_DETS)['errors']
    naive = Naive(*case, protocol, MAX_DETS)
    kinds, missed = naive.errors()
    now = naive.precision()
    assert set(errors) == set(GROUPS)
    for group, letters in GROUPS.items():
        members = [c for c in now if group_of(c) in letters]
        named = [
            kind for n, (kind, _) in kinds.items() if group_of(case[1][n]['category_id']) in letters
        ]
        named += [
            'missed' for i in missed if group_of(naive.annotations[i]['category_id']) in letters
        ]
        assert errors[group]['count'] == {kind: named.count(kind) for kind in KINDS}
        assert errors[group]['AP50'] == near(mean([now[c] for c in members]))
        for kind in KINDS:
            repaired = naive.precision(kind)
            gain = mean([repaired[c] - now[c] for c in members])
            assert errors[group]['cost'][kind] == near(gain)


@protocols
@cases
@given(seed=seeds)
def test_confusion_equals_plain_loops(protocol, seed):
    case = make_case(seed, protocol)
    confusion = diagnose(*build(*case, protocol), max_dets=MAX_DETS)['confusion']
    naive = Naive(*case, protocol, MAX_DETS)
    names = {i: name for i, name, _ in CATEGORIES}
    table = {group: dict.fromkeys(confusion['columns'], 0) for group in GROUPS}
    classes = {}
    for annotation in naive.counted:
        own, taker = annotation['category_id'], naive.taker(annotation)
        column = 'missed' if taker is None else 'correct' if taker == own else group_of(taker)
        for group, letters in GROUPS.items():
            table[group][column] += group_of(own) in letters
        entry = classes.setdefault(own, {'correct': 0, 'missed': 0, 'confusions': {}})
        if column in entry:
            entry[column] += 1
        else:
            entry['confusions'][names[taker]] = entry['confusions'].get(names[taker], 0) + 1
    assert confusion['columns'] == ['correct', 'r', 'c', 'f', 'missed']
    assert confusion['groups'] == {g: list(row.values()) for g, row in table.items()}
    assert [c['id'] for c in confusion['classes']] == sorted(classes)
    for given_ in confusion['classes']:
        entry = classes[given_['id']]
        assert (given_['name'], given_['group']) == (names[given_['id']], group_of(given_['id']))
        assert given_['annotations'] == (
            given_['correct'] + given_['missed'] + sum(n for _, n in given_['confusions'])
        )
        assert (given_['correct'], given_['missed']) == (entry['correct'], entry['missed'])
        assert dict(given_['confusions']) == entry['confusions']
        counts = [n for _, n in given_['confusions']]
        assert counts == sorted(counts, reverse=True)


@protocols
@cases
@given(seed=seeds)
def test_calibration_equals_plain_loops(protocol, seed):
    case = make_case(seed, protocol, distinct=seed % 2)
    calibration = diagnose(*build(*case, protocol), max_dets=MAX_DETS)['calibration']
    naive = Naive(*case, protocol, MAX_DETS)
    for group, letters in GROUPS.items():
        rows = [
            (case[1][n]['score'], state != 'wrong')
            for n, state in naive.state.items()
            if state != 'ignored' and group_of(case[1][n]['category_id']) in letters
        ]
        wanted = sum(group_of(a['category_id']) in letters for a in naive.counted)
        entry, ece = calibration[group], 0
        reliability = []
        for b in range(15):
            inside = [(s, h) for s, h in rows if min(int(s * 15), 14) == b]
            if inside:
                score, precision = mean([s for s, _ in inside]), mean([h for _, h in inside])
                ece += len(inside) / len(rows) * abs(score - precision)
                reliability.append((b / 15, (b + 1) / 15, len(inside), score, precision))
        assert entry['ece'] == (near(ece) if rows else None)
        assert [tuple(row.values()) for row in entry['reliability']] == [
            pytest.approx(row) for row in reliability
        ]
        for name, which in (('hits', True), ('false_positives', False)):
            places = [min(int(s * 50), 49) for s, h in rows if h == which]
            assert entry[name] == [places.count(b) for b in range(50)]
        best = None
        for threshold in sorted({s for s, _ in rows}, reverse=True):
            above = [h for s, h in rows if s >= threshold]
            f1 = 2 * sum(above) / (len(above) + wanted)
            if best is None or f1 > best['f1']:
                best = {'threshold': threshold, 'f1': f1, 'precision': mean(above)}
                best['recall'] = sum(above) / wanted if wanted else None
        assert entry['best_f1'] == (pytest.approx(best) if rows and wanted else None)


@protocols
@cases
@given(seed=seeds)
def test_masks_of_boxes_give_what_boxes_give(protocol, seed):
    truth, detections = build(*make_case(seed, protocol), protocol)
    boxes, masks = diagnose(truth, detections), diagnose(truth, detections, 'segm')
    assert masks.pop('iou_type') == 'segm' and boxes.pop('iou_type') == 'bbox'
    assert masks == boxes


def test_diagnosis_is_plain_json():
    report = diagnose(*build(*make_case(1, 'lvis')))
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert [*report] == ['protocol', 'iou_type', 'groups', 'errors', 'confusion', 'calibration']
    assert report['groups'] == {'all': 5, 'r': 2, 'c': 2, 'f': 1}
    text = format_diagnosis(report)
    assert 'localisation' in text and max(map(len, text.splitlines())) <= 100


# Federated rules and crowds by hand

FULL, HALF, FAR = [0, 0, 20, 20], [0, 0, 20, 8], [60, 60, 20, 20]


def counts(truth, detections, group='all'):
    found = diagnose(truth, detections)['errors'][group]['count']
    return {kind: number for kind, number in found.items() if number}


def test_each_kind_of_error():
    truth, detections = scene(
        [(1, FULL), (5, FAR)],
        [
            (1, FULL, 0.9),
            (1, FULL, 0.8),  # duplicate
            (1, HALF, 0.7),  # localisation
            (5, FULL, 0.6),  # classification
            (5, HALF, 0.5),  # both
            (1, [40, 0, 10, 10], 0.4),  # background
        ],
    )
    expected = dict.fromkeys(KINDS, 1)  # the dog is missed
    assert counts(truth, detections) == expected
    report = diagnose(truth, detections)
    assert report['errors']['f']['count'] == {
        'classification': 1,
        'localisation': 0,
        'both': 1,
        'duplicate': 0,
        'background': 0,
        'missed': 1,
    }
    # the only dog is no longer to be found: nothing is left that could be wrong
    assert report['errors']['f']['cost']['missed'] == 1.0
    assert report['errors']['r']['cost'] == dict.fromkeys(KINDS, 0.0)  # all below the hit


def test_category_that_nobody_verified_is_no_error():
    truth, detections = scene([(1, FULL)], [(1, FULL, 0.5), (5, FULL, 0.9)])
    assert counts(truth, detections) == {}
    truth, detections = scene([(1, FULL)], [(1, FULL, 0.5), (5, FULL, 0.9)], negative=[5])
    assert counts(truth, detections) == {'classification': 1}


def test_category_that_is_partly_annotated_is_no_error():
    annotations, detections = [(1, FULL), (5, FAR)], [(5, FULL, 0.9), (5, FAR, 0.8), (1, FULL, 0.7)]
    assert counts(*scene(annotations, detections)) == {'classification': 1}
    report = diagnose(*scene(annotations, detections, partly=[5]))
    assert sum(report['errors']['all']['count'].values()) == 0
    # nor does it take the annotation: whether there is a dog too is not known
    assert report['confusion']['groups']['all'] == [2, 0, 0, 0, 0]
    assert sum(report['calibration']['f']['hits']) == 1
    assert sum(report['calibration']['f']['false_positives']) == 0


def test_detection_without_area_is_no_error_in_lvis():
    assert counts(*scene([(1, FULL)], [(1, FULL, 0.9), (1, [0, 0, 0, 9], 0.8)])) == {}
    truth, detections = scene(
        [(1, FULL)], [(1, FULL, 0.9), (1, [0, 0, 0, 9], 0.8)], protocol='coco'
    )
    assert counts(truth, detections) == {'background': 1}


def test_ignored_annotation_excuses_and_hotcoco_takes_it_for_an_object():
    ignored = {'ignore': 1}
    assert counts(*scene([(1, FULL, ignored)], [(1, FULL, 0.9)])) == {}
    # a second detection on it is wrong, and what is ignored is no truth to be confused with
    truth, detections = scene([(1, FULL, ignored)], [(1, FULL, 0.9), (1, FULL, 0.8)])
    assert counts(truth, detections) == {'background': 1}
    truth, detections = scene([(1, FULL, ignored)], [(5, FULL, 0.9)], negative=[5])
    assert counts(truth, detections) == {'background': 1}
    assert engine(truth, detections).tide_errors()['counts']['Cls'] == 1


def test_crowd_excuses_any_number_and_hotcoco_takes_it_for_an_object():
    annotations = [(1, FULL, {'iscrowd': 1}), (1, FAR)]
    found = [(1, FULL, 0.9), (1, FULL, 0.8), (1, [15, 0, 20, 20], 0.7), (1, FAR, 0.6)]
    truth, detections = scene(annotations, found, protocol='coco')
    assert counts(truth, detections) == {'background': 1}
    # a crowd cannot be localised; tidecv leaves it out too
    assert engine(truth, detections).tide_errors()['counts']['Loc'] == 1


def test_confusion_leaves_out_categories_that_nobody_verified_and_hotcoco_does_not():
    truth, detections = scene([(1, FULL)], [(1, FULL, 0.5), (5, FULL, 0.9)], negative=[3])
    report = diagnose(truth, detections)['confusion']
    assert report['groups']['r'] == [1, 0, 0, 0, 0]
    matrix = engine(truth, detections).confusion_matrix()['matrix']
    assert matrix[0, 4] == 1 and matrix[0, 0] == 0  # a lynx taken for a dog
    truth, detections = scene([(1, FULL)], [(1, FULL, 0.5), (5, FULL, 0.9)], negative=[5])
    report = diagnose(truth, detections)['confusion']
    assert report['groups']['r'] == [0, 0, 0, 1, 0]
    assert report['classes'][0]['confusions'] == [['dog', 1]]


def test_repaired_classification_counts_for_the_annotations_class():
    truth, detections = scene([(1, FULL), (5, FAR)], [(5, FULL, 0.9), (5, FAR, 0.8)])
    errors = diagnose(truth, detections)['errors']
    cost = {group: entry['cost']['classification'] for group, entry in errors.items()}
    assert cost == {
        'all': near(0.75),
        'r': near(1.0),  # the lynx is found
        'c': None,
        'f': near(0.5),  # and the dog is first of its class
    }
    assert engine(truth, detections).tide_errors()['delta_ap']['Cls'] == near(0.75)


def test_annotation_that_is_found_is_not_found_again_by_a_repair():
    truth, detections = scene([(1, FULL), (1, FAR)], [(1, FULL, 0.9), (1, HALF, 0.8)])
    assert diagnose(truth, detections)['errors']['all']['cost']['localisation'] == near(0.0)


def test_missed_rare_class_costs_its_whole_precision_and_nothing_in_hotcoco():
    truth, detections = scene([(1, FULL), (5, FAR)], [(1, [40, 0, 5, 5], 0.9), (5, FAR, 0.8)])
    errors = diagnose(truth, detections)['errors']
    assert errors['r']['cost']['missed'] == 1.0 and errors['f']['cost']['missed'] == 0.0
    # a class that is left without annotations has precision 0 there, as in tidecv
    assert engine(truth, detections).tide_errors()['delta_ap']['Miss'] == 0.0


def test_groups_without_classes_and_without_frequency():
    truth, detections = make_case(3, 'coco')
    for category in truth['categories']:
        category['frequency'] = 'c' if category['id'] < 4 else 'f'
    report = diagnose(*build(truth, detections, 'coco'))
    assert [*report['groups']] == [*report['errors']] == ['all', 'c', 'f']
    for category in truth['categories']:
        del category['frequency']
    report = diagnose(*build(truth, detections, 'coco'))
    assert report['confusion']['columns'] == ['correct', 'other', 'missed']
    assert [*report['calibration']] == ['all']
    format_diagnosis(report)


def test_nothing_detected_and_nothing_annotated():
    truth, detections = scene([(1, FULL)], [])
    report = diagnose(truth, detections)
    assert report['errors']['all']['count']['missed'] == 1
    assert report['confusion']['groups']['r'] == [0, 0, 0, 0, 1]
    assert report['calibration']['all']['ece'] is None
    format_diagnosis(report)
    report = diagnose(*scene([], [(1, FULL, 0.9)], negative=[1]))
    assert report['errors']['all']['AP50'] is None
    assert report['errors']['all']['count']['background'] == 1
    format_diagnosis(report)


def test_subset_of_images_and_of_classes():
    truth, detections = make_case(7, 'lvis')
    full = build(truth, detections)
    keep = np.array([True, False, True, True, False])
    ids = [i['id'] for i, k in zip(truth['images'], keep) if k]
    part = {
        **truth,
        'images': [i for i in truth['images'] if i['id'] in ids],
        'annotations': [a for a in truth['annotations'] if a['image_id'] in ids],
    }
    few = build(part, [d for d in detections if d['image_id'] in ids])
    assert diagnose(*full, images=keep) == diagnose(*few)
    rare = np.array([True, True, False, False, False])
    report, everything = diagnose(*full, categories=rare), diagnose(*full)
    assert report['groups'] == {'all': 2, 'r': 2}
    for name in ('errors', 'calibration'):
        assert report[name]['all'] == report[name]['r'] == everything[name]['r']
    assert report['confusion']['groups']['r'] == everything['confusion']['groups']['r']


def test_scores_that_are_no_probabilities():
    with pytest.raises(BadInputError, match=r'score 1.5; calibration needs scores from 0 to 1'):
        diagnose(*scene([(1, FULL)], [(1, FULL, 1.5)]))


# hotcoco's own diagnoses, where they are right


@protocols
@cases
@given(seed=seeds)
def test_hotcoco_agrees_where_nothing_is_ignored_and_nothing_tied(protocol, seed):
    truth, detections = make_case(seed, protocol, distinct=True)
    for annotation in truth['annotations']:
        annotation.pop('ignore', 0)
        annotation['iscrowd'] = 0
    naive = Naive(truth, detections, protocol, 100)
    truth, detections = build(truth, detections, protocol)
    ev = engine(truth, detections)
    report = diagnose(truth, detections)
    tide, ours = ev.tide_errors(), report['errors']['all']
    short = dict(zip(SHORT, KINDS))
    assert {short[k]: n for k, n in tide['counts'].items()} == ours['count']
    assert report['calibration']['all']['ece'] == near(ev.calibration(15)['ece'])
    if ours['AP50'] is None:
        return
    assert ours['AP50'] == near(tide['ap_base'])
    missed = naive.errors()[1]
    left = {a['category_id'] for a in naive.counted if a['id'] not in missed}
    same = left == {a['category_id'] for a in naive.counted}
    for name in SHORT[: 6 if same else 5]:
        assert ours['cost'][short[name]] == near(tide['delta_ap'][name])


def test_real_annotations(real_annotations, real_detections):
    truth, detections = build(real_annotations, real_detections('bbox', per_image=300))
    ev = engine(truth, detections)
    report = diagnose(truth, detections)
    precision = ev.eval['precision'][0, :, :, 0, -1]
    errors, tide = report['errors']['all'], ev.tide_errors()
    assert errors['AP50'] == near(precision[precision > -1].mean())
    assert [*errors['count'].values()] == [tide['counts'][k] for k in SHORT]
    assert report['calibration']['all']['ece'] == near(ev.calibration(15)['ece'])
    assert [*report['groups']] == ['all', 'r', 'c', 'f']


# Two runs


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
