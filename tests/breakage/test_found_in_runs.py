"""Files of runs, calibrations and pages: what campaigns of broken files found, each as its kind."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lt_det.calibration.spool import ROW, Spool
from lt_det.datasets.feature_cache import FEATURES, FeatureCacheDataset
from lt_det.errors import BadInputError
from lt_det.evaluation.ground_truth import GroundTruth
from lt_det.evaluation.kept_detections import read_kept
from lt_det.formats import annotation_cache
from lt_det.report.page.classified import Classified
from lt_det.report.page.data import collect
from lt_det.report.page.extras import curves
from lt_det.report.page.run_files import find_run

from . import files
from .subjects.calibration import calibration_texts


@pytest.fixture
def run(tmp_path):
    """A work dir of a detector."""
    files.detector_run(tmp_path / 'run')
    return tmp_path / 'run'


def changed_arrays(path, **changes) -> None:
    with np.load(path) as file:
        arrays = dict(file.items())
    for name, value in changes.items():
        name = name.replace('__', '.')
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(group=np.array(['r', 'c', 'c'])), 'group has 3 entries'),
        (dict(group=np.array(['r', 'c', 'c', 'x'])), "group has 'x', expected one of"),
        (dict(train_images=np.zeros(4, 'datetime64[s]')), 'train_images is of type datetime'),
        (dict(segm__category_id=np.ones(9, int)), 'segm.category_id has 9 entries'),
        (dict(segm__category_id=np.full(8, 99)), 'has categories that are not in'),
        (dict(segm__lengths=np.full(8, 2**62)), 'segm.lengths adds up to'),
        (dict(segm__codes=None), 'segm.codes is missing'),
        (dict(bbox__score=np.full(8, np.nan)), 'bbox.score has a number that is not finite'),
        (dict(bbox__image_id=np.ones((8, 1), int)), 'bbox.image_id has the shape'),
        (dict(all_category_id=np.full(4, 2**63, np.uint64)), 'all_category_id has the number'),
    ],
)
def test_kept_detections_of_another_shape_or_kind(changes, message, run):
    changed_arrays(run / 'predictions.npz', **changes)
    truth = GroundTruth(str(run / 'truth.json'))
    before = truth.frequency.tolist()
    with pytest.raises(BadInputError, match=rf'predictions\.npz: {message}'):
        read_kept(run / 'predictions.npz', truth)
    assert truth.frequency.tolist() == before


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(label=np.full(12, 4)), r'label has 4, expected 0\.\.3'),
        (dict(predicted=np.full(12, -1)), r'predicted has -1, expected 0\.\.3'),
        (dict(confidence=np.ones(12, 'datetime64[s]')), 'confidence is of type'),
        (dict(image=np.array('a.jpg')), 'image has the shape'),
        (dict(name=np.array(['a'] * 5)), 'group has 4 entries, name has 5'),
        (dict(group=np.array(['few'] * 3 + ['x'])), r"group has \['x'\]"),
        (dict(num_bins=np.array(np.inf)), 'num_bins is of type float64'),
        (dict(num_bins=np.array(2**62)), f'.* num_bins is {2**62}, expected 1 to 10000'),
    ],
)
def test_predictions_of_a_classifier_of_another_shape_or_kind(changes, message, tmp_path):
    path = tmp_path / 'predictions.npz'
    path.write_bytes(files.npz_bytes(files.classified()))
    assert Classified.read(path).num_bins == 15
    changed_arrays(path, **changes)
    with pytest.raises(BadInputError, match=rf'predictions\.npz: {message}'):
        Classified.read(path)


@pytest.mark.parametrize('data', [b'', b'PK\x03\x04', b'\x93NUMPY\x01\x00v\x00{[', b'\x80\x04.'])
def test_bytes_that_are_no_arrays(data, run, tmp_path):
    (run / 'predictions.npz').write_bytes(data)
    for read in (
        lambda: read_kept(run / 'predictions.npz', GroundTruth(str(run / 'truth.json'))),
        lambda: Classified.read(run / 'predictions.npz'),
    ):
        with pytest.raises(BadInputError, match=r'predictions\.npz cannot be read'):
            read()
    cache = FeatureCacheDataset.__new__(FeatureCacheDataset)
    (tmp_path / FEATURES).write_bytes(data)
    with pytest.raises(BadInputError, match=r'features\.npy cannot be read'):
        cache._map(tmp_path)


def test_a_column_whose_header_is_no_python(tmp_path, monkeypatch):
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(files.annotations()))
    annotation_cache.load_columns(path)
    column = annotation_cache.cache_folder(path) / 'other.npy'
    data = column.read_bytes()
    column.write_bytes(data[:50] + b'[' + data[50:])
    with pytest.warns(UserWarning, match='made anew'):
        columns = annotation_cache.load_columns(path)
    assert columns.arrays['annotation_id'].tolist() == list(range(1, 8))


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('kind', [['detector']], 'kind is .* expected .detector. or .classifier.'),
        ('ann_file', 3, 'ann_file is 3, expected str or null'),
        ('ann_file', 'a\0', '.* which no file can be named'),
        ('max_dets', True, 'max_dets is True, expected int or null'),
        ('bounds', [1], 'bounds is .* expected two numbers'),
        ('checkpoint', {'file': 1}, 'checkpoint.file is 1'),
        ('versions', {'torch': float('nan')}, 'versions is .* expected a text'),
    ],
)
def test_a_note_of_a_run_with_another_value(key, value, message, run):
    note = json.loads((run / 'run.json').read_text())
    (run / 'run.json').write_text(json.dumps({**note, key: value}))
    with pytest.raises(BadInputError, match=rf'run\.json: {message}'):
        collect(run, resamples=1)


def test_a_note_of_a_checkpoint_with_more_in_it(run):
    from lt_det.report.page.build import build

    note = json.loads((run / 'run.json').read_text())
    note['checkpoint']['id'] = float('nan')
    (run / 'run.json').write_text(json.dumps(note))
    assert build(collect(run, resamples=1))


def test_lines_of_a_log_that_are_none(run):
    path = run / '1' / 'vis_data' / 'scalars.json'
    path.write_bytes(b'\xff\xfe{\n[1]\n{"loss": "x", "step": 1}\n{"loss": 1, "step": []}\n')
    assert curves(find_run(run)) is None
    with path.open('a') as file:
        file.write('{"loss": 2.0, "step": 3}\n')
    assert curves(find_run(run))['loss'] == [[3, 2.0]]


@pytest.mark.parametrize(
    'state',
    [
        *(1, [1], '', None),
        {'done': 3, 'rows': 0.5, 'of': {}},
        {'done': 3, 'rows': ['x', 0], 'of': {}},
        {'done': 3, 'rows': [0, 0], 'of': [[]]},
        {'done': 3, 'rows': [0], 'of': {}},
        {'done': -1, 'rows': [0, 0], 'of': {}},
        {'done': True, 'rows': [0, 0], 'of': {}},
    ],
)
def test_a_state_of_a_sweep_that_is_none(state, tmp_path):
    (tmp_path / 'state.json').write_text(json.dumps(state))
    with pytest.raises(BadInputError, match=r'state\.json cannot be read .*; remove'):
        Spool(tmp_path, 2, {}, resume=True)


def test_rows_of_a_sweep_that_are_fewer_than_noted_are_not_filled_up(tmp_path):
    spool = Spool(tmp_path, 1, {})
    spool.append([np.ones(4, ROW)], 2)
    path = tmp_path / '000.rows'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInputError, match=r'000\.rows has .* bytes, expected at least'):
        Spool(tmp_path, 1, {}, resume=True)


def test_half_a_character_of_a_json_does_not_stop_a_page(tmp_path):
    from lt_det.formats.files import write_text

    write_text(tmp_path / 'a.html', json.loads('"a \\ud800 b \\u00f6"'))
    assert (tmp_path / 'a.html').read_bytes().decode() == 'a ? b ö'


def test_half_a_character_in_a_choice_does_not_stop_its_page(tmp_path):
    from lt_det.calibration.page import write_page

    choice, sweep = calibration_texts()
    content = json.loads(choice)
    content['selection']['num_images']['first'] = '\ud800'
    (tmp_path / 'choice.json').write_text(json.dumps(content))
    (tmp_path / 'sweep.csv').write_text(sweep)
    assert write_page(tmp_path).read_bytes().decode().endswith('</html>\n')


@pytest.mark.parametrize('ending', ['csv', 'parquet'])
def test_half_a_character_in_a_class_name_does_not_stop_the_table_of_classes(ending, tmp_path):
    from lt_det.evaluation.per_class import write_per_class

    if ending == 'parquet':
        pytest.importorskip('pyarrow')
    write_per_class([{'name': 'a \ud800', 'AP': 0.5}], tmp_path / f'a.{ending}')
    assert b'a ?' in (tmp_path / f'a.{ending}').read_bytes()
