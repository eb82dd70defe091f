"""Matches against those that hotcoco decides, cell by cell."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given

from lt_det import forks
from lt_det.evaluation.diagnosis import comparison, overlaps
from lt_det.evaluation.diagnosis.comparison import THRESHOLDS, resample, resampled_precision
from lt_det.evaluation.diagnosis.matches import match

from .diagnosis_cases import build, cases, make_case, protocols, seeds

LEVELS = [*THRESHOLDS.tolist(), 1.0]  # equal boxes overlap by almost 1 as well


def on_random_data(test):
    """Run a test of (truth, detections, iou_type) on small random data of both protocols.

    With ties or without; some boxes have no area.
    """

    @protocols
    @pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
    @cases
    @given(seed=seeds)
    def run(protocol, iou_type, seed):
        truth, detections = build(*make_case(seed, protocol, seed % 2 == 1), protocol)
        detections.boxes[seed % 9 :: 9, 2] = 0
        test(truth, detections, iou_type)

    return run


def of_engine(truth, detections, iou_type):
    """Row -> annotations and flags at all thresholds; the annotations that count."""
    rows = np.arange(len(detections))
    judged = truth.judged(detections.image, detections.category)
    if truth.protocol == 'lvis':
        rows = rows[detections.boxes[:, 2:].prod(1) > 0]
    given_rows, found = rows, detections.take(rows)
    loaded = truth.engine(iou_type != 'bbox').load_res(found.records(truth))
    from hotcoco import COCOeval

    evaluation = COCOeval(
        truth.engine(iou_type != 'bbox'), loaded, iou_type, lvis_style=truth.protocol == 'lvis'
    )
    evaluation.params.iou_thrs = LEVELS
    evaluation.params.area_rng, evaluation.params.area_rng_lbl = [[0.0, 1e10]], ['all']
    evaluation.evaluate()
    states, counted = {}, set()
    for cell in evaluation.eval_imgs:
        if cell is None:
            continue
        ignored = zip(cell['gtIds'], cell['gtIgnore'])
        counted |= {number - 1 for number, ignore in ignored if not ignore}
        taken, flags = np.array(cell['dtMatches']), np.array(cell['dtIgnore'], bool)
        for column, number in enumerate(cell['dtIds']):
            row = given_rows[number - 1]
            assert judged[row]
            states[row] = (taken[:, column].astype(int) - 1).tolist(), flags[:, column].tolist()
    return states, counted


@on_random_data
def test_matches_are_those_of_the_engine(truth, detections, iou_type):
    matches = match(truth, detections, iou_type, -1, LEVELS)
    states, counted = of_engine(truth, detections, iou_type)
    assert set(np.flatnonzero(matches.counted).tolist()) == counted
    assert set(matches.rows.tolist()) == states.keys()
    for number, row in enumerate(matches.rows.tolist()):
        found = matches.annotation[:, number].tolist(), matches.ignored[:, number].tolist()
        assert found == states[row]


@on_random_data
def test_pairs_that_are_kept_change_no_match(truth, detections, iou_type):
    alone = match(truth, detections, iou_type, 12, THRESHOLDS)
    kept = match(truth, detections, iou_type, 12, THRESHOLDS, smallest=0.1)
    for name in ('rows', 'annotation', 'ignored', 'counted'):
        assert np.array_equal(getattr(alone, name), getattr(kept, name))
    assert alone.overlaps is None
    pairs = kept.overlaps
    assert (pairs.iou >= 0.1).all() and kept.counted[pairs.annotation].all()
    assert np.array_equal(kept.image[pairs.detection], truth.image[pairs.annotation])
    of_hits = kept.hit[0].nonzero()[0]
    given_pairs = set(zip(pairs.detection.tolist(), pairs.annotation.tolist()))
    assert given_pairs >= set(zip(of_hits.tolist(), kept.annotation[0][of_hits].tolist()))


@on_random_data
def test_images_that_are_left_out_change_nothing_on_others(truth, detections, iou_type):
    images = np.arange(truth.num_images) % 2 == 0
    everything = match(truth, detections, iou_type, 12, THRESHOLDS)
    part = match(truth, detections, iou_type, 12, THRESHOLDS, images)
    rows = images[everything.image]
    assert np.array_equal(part.rows, everything.rows[rows])
    assert np.array_equal(part.annotation, everything.annotation[:, rows])
    assert np.array_equal(part.ignored, everything.ignored[:, rows])
    assert np.array_equal(part.counted, everything.counted & images[truth.image])


@protocols
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_forks_change_nothing(protocol, iou_type, monkeypatch):
    truth, detections = build(*make_case(3, protocol), protocol)
    weights = resample(np.ones(truth.num_images, bool), 5, 0)
    results = []
    for processes in (1, 3):
        monkeypatch.setattr(forks, 'num_processes', partial(int, processes))
        monkeypatch.setattr(overlaps, '_MANY_MASKS', 1)
        monkeypatch.setattr(comparison, '_MANY', 1)
        matches = match(truth, detections, iou_type, None, THRESHOLDS, None, 0.1)
        pairs = matches.overlaps
        results.append(
            [
                *(matches.annotation, pairs.detection, pairs.annotation, pairs.iou),
                resampled_precision(truth, matches, weights),
            ]
        )
    for here, forked in zip(*results):
        np.testing.assert_array_equal(here, forked)
