import base64
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from lt_det.errors import BadInputError, MissingFileError
from lt_det.evaluation import LVISEvaluator
from lt_det.evaluation.kept_detections import write_kept
from lt_det.evaluation.streaming import rows_that_count
from lt_det.formats.segmentations import to_rle
from lt_det.report.page.data import collect
from lt_det.report.page.values import centred_interval

from .page_cases import HOSTILE, write_run

EXAMPLE = json.loads((Path(__file__).parent / 'report_page.json').read_text())
CASES = [
    (seed, protocol, masks)
    for seed, masks in ((3, True), (4, False))
    for protocol in ('lvis', 'coco')
]


def near(values):
    return [None if v is None else pytest.approx(v, abs=1e-9) for v in values]


def judged(values):
    return [None if v < 0 else v for v in values]


@pytest.mark.parametrize('seed, protocol, masks', CASES)
def test_every_number_is_that_of_the_evaluation(tmp_path, seed, protocol, masks):
    metrics, evaluators, records = write_run(tmp_path / 'run', seed, protocol, masks)
    page = collect(tmp_path / 'run')
    main = 'segm' if masks else 'bbox'
    assert page['iou_type'] == main and page['kind'] == 'detector'
    for tile in page['tiles']:
        assert tile['value'] == metrics[f'{tile["iou_type"]}_{tile["metric"]}']
        assert tile['interval'][0] <= tile['value'] <= tile['interval'][1]
        assert tile['against'] is tile['difference'] is tile['difference_interval'] is None
    expected = [(t, m) for t in evaluators for m in ('AP', 'APr', 'APc', 'APf')]
    expected = [(t, m) for t, m in expected if metrics[f'{t}_{m}'] >= 0]
    assert [(tile['iou_type'], tile['metric']) for tile in page['tiles']] == expected

    classes = page['classes']
    for iou_type, evaluator in evaluators.items():
        assert classes['ap'][iou_type] == near(judged(evaluator.category_ap().tolist()))
        recall = evaluator.recall[..., 0].mean(0)
        assert classes['ar'][iou_type] == near(judged(recall.tolist()))
    truth = evaluators[main].truth
    assert classes['name'] == truth.category_names
    assert classes['group'] == truth.frequency.tolist()
    assert classes['train_images'] == [7 * i for i in truth.category_ids]
    assert classes['train_instances'] == [9 * i for i in truth.category_ids]

    diagnosis = evaluators[main].diagnose(records[main])
    assert page['errors']['groups'] == diagnosis['errors']
    assert page['flows']['columns'] == diagnosis['confusion']['columns']
    assert page['flows']['groups'] == diagnosis['confusion']['groups']
    for group, values in diagnosis['calibration'].items():
        shown = page['scores']['groups'][group]
        for key in ('ece', 'best_f1', 'hits', 'false_positives'):
            assert shown[key] == values[key]
        for bin_, row in zip(shown['bins'], values['reliability'], strict=True):
            assert (bin_['lower'], bin_['upper'], bin_['count']) == (
                row['lower'],
                row['upper'],
                row['count'],
            )
            assert (bin_['confidence'], bin_['accuracy']) == (row['score'], row['precision'])
        assert len(shown['edges']) == len(shown['hits']) + 1
    assert {name: group['classes'] for name, group in page['groups'].items()} == {
        name: number for name, number in diagnosis['groups'].items() if name != 'all'
    }

    # of the confusions by class
    number = {name: k for k, name in enumerate(truth.category_names)}
    counts = Counter()
    for row in diagnosis['confusion']['classes']:
        k = number[row['name']]
        assert classes['annotations'][k] == row['annotations']
        counts[k, None] = row['missed']
        counts.update({(k, number[name]): n for name, n in row['confusions']})
        if row['confusions']:
            name, n = row['confusions'][0]
            assert classes['confused_with'][k] == {'class': number[name], 'count': n}
        else:
            assert classes['confused_with'][k] is None
    shown = {(c['truth'], c['predicted']): c['count'] for c in page['flows']['confusions']}
    assert shown == {pair: n for pair, n in counts.items() if n}
    assert [c['count'] for c in page['flows']['confusions']] == sorted(shown.values(), reverse=True)

    # hits and false positives are those of the scores
    totals = page['scores']['groups']['all']
    assert sum(classes['hits']) == sum(totals['hits'])
    assert sum(classes['false_positives']) == sum(totals['false_positives'])
    assert np.add(classes['hits'], classes['misses']).tolist() == classes['annotations']
    assert page['provenance']['data'] == {
        'file': str(truth.source),
        'images': 5,
        'annotations': sum(classes['annotations']),
    }


@pytest.mark.parametrize('protocol', ['lvis', 'coco'])
def test_differences_are_those_of_the_comparison(tmp_path, protocol):
    _, evaluators, records = write_run(tmp_path / 'run', 3, protocol, shift=5)
    before, _, old = write_run(tmp_path / 'base', 3, protocol)
    page = collect(tmp_path / 'run', tmp_path / 'base', resamples=40)
    assert page['provenance']['against'] == 'model'
    for iou_type, evaluator in evaluators.items():
        expected = evaluator.compare(old[iou_type], records[iou_type], 40)
        tiles = [tile for tile in page['tiles'] if tile['iou_type'] == iou_type]
        assert tiles
        for tile in tiles:
            row = expected['metrics'][tile['metric']]
            assert tile['against'] == before[f'{iou_type}_{tile["metric"]}']
            assert tile['difference'] == tile['value'] - tile['against']
            assert tile['difference'] == pytest.approx(row['difference'], abs=1e-9)
            assert tile['difference_interval'] == near(row['interval'])
        shown = page['classes']['against']
        number = {name: k for k, name in enumerate(page['classes']['name'])}
        for row in expected['classes']:
            k = number[row['name']]
            assert shown['ap'][iou_type][k] == pytest.approx(row['a'], abs=1e-9)
            if iou_type == 'segm':
                assert shown['difference'][k] == pytest.approx(row['difference'], abs=1e-9)
                assert shown['interval'][k] == near(row['interval'])


def test_kept_detections_give_the_page_of_the_result_files(tmp_path):
    _, evaluators, records = write_run(tmp_path / 'run', 6)
    of_results = collect(tmp_path / 'run', resamples=20)
    truth = evaluators['bbox'].truth
    kept = {}
    for iou_type, evaluator in evaluators.items():
        found = evaluator.read(records[iou_type])
        if iou_type == 'segm':
            found.segmentations = [to_rle(mask, 40, 40) for mask in found.segmentations]
        kept[iou_type] = found.take(rows_that_count(truth, found, 300))
        (tmp_path / 'run' / f'results.{iou_type}.json').unlink()
    everything = np.ones(truth.num_images, bool), np.ones(truth.num_categories, bool)
    write_kept(tmp_path / 'run' / 'predictions.npz', truth, *everything, kept)
    of_kept = collect(tmp_path / 'run', resamples=20)
    for key in of_results:
        assert of_kept[key] == of_results[key], key


def test_a_baseline_with_more_classes_is_compared_on_those_of_the_run(tmp_path):
    _, evaluators, records = write_run(tmp_path / 'run', 3, 'coco', masks=False, shift=5)
    whole, _, old = write_run(tmp_path / 'base', 3, 'coco', masks=False)
    truth = evaluators['bbox'].truth
    used = np.arange(truth.num_categories) > 0
    some = LVISEvaluator(truth, 'bbox', category_ids=truth.category_ids[used])
    metrics = {f'bbox_{key}': value for key, value in some.evaluate(records['bbox']).items()}
    (tmp_path / 'run/metrics.json').write_text(json.dumps(metrics))
    found = some.read(records['bbox'])
    kept = {'bbox': found.take(rows_that_count(truth, found, 100))}
    write_kept(tmp_path / 'run/predictions.npz', truth, np.ones(truth.num_images, bool), used, kept)
    page = collect(tmp_path / 'run', tmp_path / 'base', resamples=5)
    before = some.evaluate(old['bbox'])['AP']
    tile = next(tile for tile in page['tiles'] if tile['metric'] == 'AP')
    assert tile['value'] == metrics['bbox_AP']
    assert tile['against'] == pytest.approx(before, abs=1e-9)
    assert tile['against'] != pytest.approx(whole['bbox_AP'], abs=1e-3)
    assert tile['difference'] == pytest.approx(tile['value'] - before, abs=1e-9)
    assert tile['difference_interval'] is not None
    number = truth.num_categories
    said = f'was scored on {number - 1} classes, {tmp_path / "base"} on {number}: numbers of'
    assert [note for note in page['notes'] if said in note]
    assert not [note for note in page['notes'] if 'are they of another test' in note]


def test_groups_are_those_of_the_run_not_of_the_baseline(tmp_path):
    _, evaluators, _ = write_run(tmp_path / 'base', 3, 'coco', masks=False)
    write_run(tmp_path / 'run', 3, 'coco', masks=False, shift=5)
    alone = collect(tmp_path / 'run', resamples=2)
    truth = evaluators['bbox'].truth
    truth.frequency[:], truth.train_images = 'f', [200] * truth.num_categories
    images, categories = np.ones(truth.num_images, bool), np.ones(truth.num_categories, bool)
    write_kept(tmp_path / 'base' / 'predictions.npz', truth, images, categories, {})
    page = collect(tmp_path / 'run', tmp_path / 'base', resamples=2)
    assert page['groups'] == alone['groups']
    for name in ('group', 'train_images'):
        assert page['classes'][name] == alone['classes'][name]


def test_crops_are_small_and_hold_what_they_show(tmp_path):
    write_run(tmp_path / 'run', 3)
    page = collect(tmp_path / 'run')
    assert 0 < len(page['gallery']) <= 200
    assert {crop['kind'] for crop in page['gallery']} == {'missed', 'hit', 'false_positive'}
    for crop in page['gallery']:
        jpeg = base64.b64decode(crop['src'].removeprefix('data:image/jpeg;base64,'))
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape[:2] == (crop['height'], crop['width'])
        assert max(pixels.shape[:2]) <= 160
        assert (crop['box'] is None) == (crop['score'] is None) == (crop['predicted'] is None)
        assert (crop['truth_box'] is None) == (crop['truth'] is None)
        assert crop['kind'] != 'hit' or (crop['truth'] == crop['predicted'] and crop['iou'] >= 0.5)
        assert crop['class'] == crop['predicted' if crop['kind'] == 'false_positive' else 'truth']
        for outline in (crop['outline'], crop['truth_outline']):
            points = np.array(outline if outline else [[0, 0]])
            assert (points >= 0).all() and (points <= [crop['width'], crop['height']]).all()
        boxes = [box for box in (crop['box'], crop['truth_box']) if box]
        middle = np.array([[x + w / 2, y + h / 2] for x, y, w, h in boxes])
        assert boxes and (middle > 0).all()
    groups = [page['classes']['group'][crop['class']] for crop in page['gallery']]
    assert groups[0] == 'r'


def test_names_are_data(tmp_path):
    write_run(tmp_path / 'run', 3, names=HOSTILE)
    page = collect(tmp_path / 'run')
    assert page['classes']['name'] == HOSTILE
    assert json.loads(json.dumps(page, allow_nan=False)) == page
    texts = {crop['text'] for crop in page['gallery']}
    assert any(name in text for text in texts for name in HOSTILE)


def test_the_page_has_the_form_of_the_example(tmp_path):
    """The tests of the page itself are made with that."""
    write_run(tmp_path / 'run', 3, shift=1)
    write_run(tmp_path / 'base', 3)
    page = collect(tmp_path / 'run', tmp_path / 'base')
    assert page.keys() == EXAMPLE.keys()
    for key in ('provenance', 'classes', 'errors', 'flows', 'scores'):
        assert page[key].keys() == EXAMPLE[key].keys(), key
    assert page['classes']['against'].keys() == EXAMPLE['classes']['against'].keys()
    assert page['scores']['groups']['all'].keys() == EXAMPLE['scores']['groups']['all'].keys()
    for key in ('tiles', 'gallery'):
        assert page[key][0].keys() == EXAMPLE[key][0].keys(), key
    assert page['flows']['confusions'][0].keys() == EXAMPLE['flows']['confusions'][0].keys()
    assert page['groups'].keys() <= EXAMPLE['groups'].keys()
    assert page['groups']['r'].keys() == EXAMPLE['groups']['r'].keys()


def test_what_is_missing_is_said(tmp_path):
    metrics, _, _ = write_run(tmp_path / 'run', 3)
    for path in (tmp_path / 'pictures').iterdir():
        path.unlink()
    page = collect(tmp_path / 'run')
    assert page['gallery'] == [] and 'crops are left out' in page['notes'][0]
    for path in (tmp_path / 'run').glob('results.*'):
        path.unlink()
    page = collect(tmp_path / 'run')
    assert page['classes'] is page['errors'] is page['flows'] is page['scores'] is None
    assert 'kept no detections' in page['notes'][0]
    assert page['tiles'][0]['value'] == metrics['bbox_AP'] and page['tiles'][0]['interval'] is None
    (tmp_path / 'truth.json').unlink()
    assert 'truth.json is not there' in collect(tmp_path / 'run')['notes'][0]
    (tmp_path / 'run' / 'run.json').unlink()
    page = collect(tmp_path / 'run')
    assert 'neither run.json nor a config' in page['notes'][0]
    assert page['tiles'][0]['value'] == metrics['bbox_AP']


def test_numbers_of_another_run_have_no_interval(tmp_path):
    metrics, _, _ = write_run(tmp_path / 'run', 3)
    changed = {**metrics, 'segm_AP': metrics['segm_AP'] / 2}
    (tmp_path / 'run' / 'metrics.json').write_text(json.dumps(changed))
    page = collect(tmp_path / 'run')
    (tile,) = [t for t in page['tiles'] if (t['metric'], t['iou_type']) == ('AP', 'segm')]
    assert tile['value'] == metrics['segm_AP'] / 2 and tile['interval'] is None
    assert any('segm_AP is' in note and 'another test' in note for note in page['notes'])


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match='work dir .*nowhere does not exist'):
        collect(tmp_path / 'nowhere')
    with pytest.raises(MissingFileError, match=r'has no metrics\.json; expected a work dir'):
        collect(tmp_path)
    write_run(tmp_path / 'run', 3)
    write_run(tmp_path / 'other' / 'run', 4)
    with pytest.raises(BadInputError, match='expected a baseline on the same data'):
        collect(tmp_path / 'run', tmp_path / 'other' / 'run')
    (tmp_path / 'run' / 'metrics.json').write_text('[1]')
    with pytest.raises(BadInputError, match=r'metrics\.json holds a list'):
        collect(tmp_path / 'run')


def test_curves_of_a_resumed_training(tmp_path):
    write_run(tmp_path / 'run', 3)
    parts = {
        '20260101_000000': [(10, 3.0), (20, 2.0), 0.1, (30, 1.9)],
        '20260102_000000': [(20, 2.5), (30, 1.5), 0.2],
    }
    for name, rows in parts.items():
        folder = tmp_path / 'run' / name / 'vis_data'
        folder.mkdir(parents=True)
        lines = [
            {'lr': row[1] / 10, 'loss': row[1], 'iter': row[0], 'step': row[0]}
            if isinstance(row, tuple)
            else {'lvis/segm_AP': row, 'lvis/segm_APl': -1.0, 'time': 1.0, 'step': 1}
            for row in rows
        ]
        text = '\n'.join(map(json.dumps, lines)) + '\n{"loss": 1.4, "st'  # killed while it wrote
        (folder / 'scalars.json').write_text(text)
    curves = collect(tmp_path / 'run')['curves']
    assert curves['loss'] == [[10, 3.0], [20, 2.5], [30, 1.5]]
    assert curves['lr'] == [[10, 0.3], [20, 0.25], [30, 0.15]]
    assert curves['metrics'] == {'segm_AP': [[30, 0.2]]}


def test_an_interval_is_around_its_value():
    means = np.array([0.5, *np.linspace(0.6, 0.8, 101)])
    low, high = centred_interval(means)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - low == pytest.approx(0.19)
    assert centred_interval(np.array([0.5, np.nan])) is None
