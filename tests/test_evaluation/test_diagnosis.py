"""Every number of a diagnosis against plain loops, and against hotcoco where that is right."""

import json

import pytest
from hypothesis import given

from lt_det.evaluation.diagnosis import diagnose, format_diagnosis

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
from .naive_diagnosis import KINDS, Naive

SHORT = ('Cls', 'Loc', 'Both', 'Dupe', 'Bkg', 'Miss')  # hotcoco's names of KINDS
MAX_DETS = 12


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


def test_lvis_annotations(lvis_annotations, lvis_detections):
    truth, detections = build(lvis_annotations, lvis_detections('bbox', per_image=300))
    ev = engine(truth, detections)
    report = diagnose(truth, detections)
    precision = ev.eval['precision'][0, :, :, 0, -1]
    errors, tide = report['errors']['all'], ev.tide_errors()
    assert errors['AP50'] == near(precision[precision > -1].mean())
    assert [*errors['count'].values()] == [tide['counts'][k] for k in SHORT]
    assert report['calibration']['all']['ece'] == near(ev.calibration(15)['ece'])
    assert [*report['groups']] == ['all', 'r', 'c', 'f']
