"""Rows on disk: what was noted is there after a kill, and sorted as all images at once would be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lt_det.calibration.spool import ROW, Spool, to_matches, to_rows
from lt_det.errors import BadInputError, UserError
from lt_det.evaluation.detections import Detections
from lt_det.evaluation.diagnosis.comparison import THRESHOLDS
from lt_det.evaluation.diagnosis.matches import match
from lt_det.evaluation.ground_truth import GroundTruth

ORIGIN = {'checkpoint': 'ab', 'settings': ['identity', 'NorCal(gamma=1)']}


def rows_of(image: int, number: int) -> np.ndarray:
    rows = np.zeros(number, ROW)
    rows['image'], rows['score'] = image, np.linspace(1, 0.5, number)
    return rows


def test_what_was_noted_survives_and_nothing_else(tmp_path):
    spool = Spool(tmp_path / 'sweep', 2, ORIGIN)
    spool.append([rows_of(0, 3), rows_of(0, 2)], 4)
    with open(tmp_path / 'sweep' / '001.rows', 'ab') as file:  # killed before the note
        file.write(rows_of(7, 5).tobytes()[:-3])
    again = Spool(tmp_path / 'sweep', 2, ORIGIN, resume=True)
    assert again.done == 4
    again.append([rows_of(1, 1), rows_of(1, 4)], 2)
    assert again.done == 6
    last = Spool(tmp_path / 'sweep', 2, json.loads(json.dumps(ORIGIN)), resume=True)
    assert last.rows(0)['image'].tolist() == [0, 0, 0, 1]
    assert last.rows(1)['image'].tolist() == [0, 0, 1, 1, 1, 1]
    assert last.rows(1)['score'].tolist() == [1, 0.5, *np.linspace(1, 0.5, 4)]


def test_a_sweep_is_not_overwritten_nor_mixed(tmp_path):
    Spool(tmp_path, 2, ORIGIN).append([rows_of(0, 3), rows_of(0, 2)], 4)
    with pytest.raises(BadInputError, match='the sweep of 4 images; expected --resume'):
        Spool(tmp_path, 2, ORIGIN)
    with pytest.raises(BadInputError, match=r'other files or options \(checkpoint\)'):
        Spool(tmp_path, 2, {**ORIGIN, 'checkpoint': 'cd'}, resume=True)
    (tmp_path / 'state.json').write_text('{"done": 4')
    with pytest.raises(BadInputError, match='cannot be read .* to start anew'):
        Spool(tmp_path, 2, ORIGIN, resume=True)


def test_a_full_disk_is_said_and_keeps_what_was_there(tmp_path, monkeypatch):
    spool = Spool(tmp_path, 1, ORIGIN)
    spool.append([rows_of(0, 3)], 4)

    def write_text(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_text', write_text)
    with pytest.raises(UserError, match='No space left on device'):
        spool.append([rows_of(1, 3)], 2)
    monkeypatch.undo()
    again = Spool(tmp_path, 1, ORIGIN, resume=True)
    assert again.done == 4 and len(again.rows(0)) == 3


@pytest.mark.parametrize('protocol', ['lvis', 'coco'])
def test_chunks_are_matched_as_all_images_at_once(protocol):
    """Random annotations and detections with equal scores; image ids out of order."""
    rng = np.random.default_rng(0)
    ids = rng.permutation(20) + 1
    boxes = rng.integers(0, 60, (80, 2)) * [1.0, 1.0]
    images = [dict(id=int(i), width=100, height=100, file_name=f'{i}.jpg') for i in ids]
    annotations = [
        dict(
            id=n + 1,
            image_id=int(ids[n % 20]),
            category_id=int(rng.integers(1, 4)),
            bbox=[*boxes[n], 30, 30],
            area=900,
            iscrowd=int(n % 9 == 0),
        )
        for n in range(80)
    ]
    if protocol == 'lvis':
        for image in images:
            image.update(neg_category_ids=[1, 2], not_exhaustive_category_ids=[3])
    categories = [dict(id=k, name=f'class {k}') for k in (1, 2, 3)]
    truth = GroundTruth(dict(images=images, annotations=annotations, categories=categories))
    number = 400
    origin = rng.integers(0, 80, number)
    found = Detections(
        truth.find_images(ids[origin % 20]),
        rng.integers(0, 3, number),
        rng.integers(1, 10, number) / 10,
        np.concatenate(
            [boxes[origin] + rng.normal(0, 4, (number, 2)), np.full((number, 2), 30)], 1
        ),
    )
    expected = match(truth, found, 'bbox', -1, THRESHOLDS)
    parts = []
    for chunk in (range(0, 7), range(7, 20)):
        images = np.isin(np.arange(20), chunk)
        some = found.take(images[found.image])
        parts.append(to_rows(match(truth, some, 'bbox', -1, THRESHOLDS, images)))
    joined = to_matches(np.concatenate(parts), truth.image_ids, expected.counted)
    for name in ('image', 'category', 'score', 'hit', 'ignored'):
        assert np.array_equal(getattr(joined, name), getattr(expected, name)), name
    assert expected.hit.any() and expected.ignored.any()
