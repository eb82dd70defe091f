"""Federated rules, crowds and what hotcoco takes them for, case by case."""

import numpy as np
import pytest

from lt_det.errors import BadInputError
from lt_det.evaluation.diagnosis import diagnose, format_diagnosis

from .diagnosis_cases import build, engine, make_case, near, scene
from .naive_diagnosis import KINDS

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


def test_limit_is_that_of_the_caller():
    boxes = [[4 * (i % 20), 4 * (i // 20), 4, 4] for i in range(301)]
    found = [(1, box, 0.9 - i / 1000) for i, box in enumerate(boxes)]
    found.append((1, [90, 90, 0, 4], 0.01))
    truth, detections = scene([(1, box) for box in boxes], found)
    for max_dets, missed in ((None, 1), (10, 291), (-1, 0), (500, 0)):
        errors = diagnose(truth, detections, max_dets=max_dets)['errors']
        assert errors['all']['count'] == dict.fromkeys(KINDS, 0) | {'missed': missed}


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


def test_scores_that_are_no_probabilities(monkeypatch):
    monkeypatch.setattr('lt_det.evaluation.diagnosis.match', None)  # nothing is matched before
    with pytest.raises(BadInputError, match=r'score 1.5; calibration needs scores from 0 to 1'):
        diagnose(*scene([(1, FULL)], [(1, FULL, 1.5)]))
