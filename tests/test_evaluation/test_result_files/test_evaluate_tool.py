"""``lt_det evaluate``: what it prints, writes, compares and refuses."""

from __future__ import annotations

import json
import pickle

import pytest

from lt_det.cli.main import main
from lt_det.evaluation import LVISEvaluator

from ...tool_process import run_new
from .cases import records_of, run


def test_the_tool_prints_and_writes_all_metrics(tmp_path, ann_file, samples):
    results, out, table = (tmp_path / name for name in ('results.json', 'out.json', 'table.csv'))
    records = records_of(samples)
    results.write_text(json.dumps([*records, {**records[0], 'score': None}]))
    done = run_new(
        *(
            'tools/analysis/evaluate.py',
            results,
            '--ann',
            ann_file,
            '--fixed',
            '--proposals',
            '--skip-invalid',
        ),
        *('--per-class', table, '--out', out),
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads(out.read_text())
    for iou_type in ('bbox', 'segm'):
        evaluator = LVISEvaluator(ann_file, iou_type)
        expected = evaluator.evaluate(records)
        expected.update(evaluator.fixed_ap(records))
        for key, value in evaluator.proposal_recall(records).items():
            expected[f'proposal_{key}'] = value
        assert {k: v for k, v in metrics.items() if k.startswith(iou_type)} == {
            f'{iou_type}_{key}': value for key, value in expected.items()
        }
    assert 'left out 1 records with an invalid score' in done.stdout
    assert f'{metrics["segm_AP"]:.3f}' in done.stdout
    assert table.read_text().startswith('category_id,name,frequency')


def test_the_tool_scores_a_subset_of_a_pickle(tmp_path, ann_file, samples):
    results, ids, out = (tmp_path / name for name in ('results.pkl', 'ids.txt', 'out.json'))
    results.write_bytes(pickle.dumps(samples))
    ids.write_text('3\n')
    done = run(
        *(results, '--ann', ann_file, '--iou-type', 'boundary', '--image-ids', ids),
        *('--classes', 'by-id'),
        *('--categories', 'name4', 'name7', '--out', out),
    )
    assert done.returncode == 0, done.stderr
    evaluator = LVISEvaluator(ann_file, 'boundary', image_ids=[3], category_ids=[4, 7])
    expected = evaluator.evaluate(records_of(samples, with_box=False))
    assert json.loads(out.read_text()) == {f'boundary_{k}': v for k, v in expected.items()}


def test_coco_annotations_need_the_training_set_for_groups(tmp_path, ann_file, samples):
    content = json.loads(ann_file.read_text())
    for image in content['images']:
        del image['neg_category_ids'], image['not_exhaustive_category_ids']
    for category in content['categories']:
        del category['frequency']
    ann_file.write_text(json.dumps(content))
    results, out = tmp_path / 'results.json', tmp_path / 'out.json'
    results.write_text(json.dumps(records_of(samples, with_mask=False)))
    done = run(results, '--ann', ann_file, '--out', out)
    assert 'no APr, APc, APf' in done.stdout and '--train' in done.stdout
    metrics = json.loads(out.read_text())
    assert metrics['bbox_AP'] > 0 > metrics['bbox_APr'] and 'bbox_AR@100' in metrics
    done = run(results, '--ann', ann_file, '--out', out, '--train', ann_file, '--bounds', 1, 2)
    assert done.returncode == 0 and json.loads(out.read_text())['bbox_APc'] >= 0


def test_the_tool_names_a_bad_record_without_a_traceback(tmp_path, ann_file, samples):
    results = tmp_path / 'results.json'
    records = records_of(samples, with_mask=False)
    records[2]['bbox'][2] = -1
    results.write_text(json.dumps(records))
    done = run(results, '--ann', ann_file)
    assert done.returncode == 2
    assert 'results.json: record 2 (image_id 3' in done.stderr
    assert 'Traceback' not in done.stderr


def test_against_another_run(tmp_path, ann_file, samples, capsys):
    folders = [tmp_path / name for name in ('before', 'after')]
    paths = [folder / 'results.json' for folder in folders]
    records = records_of(samples, with_mask=False)
    runs = [records, [{**r, 'score': 1 - r['score']} for r in records]]
    for folder, path, run_ in zip(folders, paths, runs, strict=True):
        folder.mkdir()
        path.write_text(json.dumps(run_))
    options = ['--ann', str(ann_file), '--resamples', '20']
    assert main(['evaluate', str(paths[1]), *options, '--against', str(paths[0])]) == 0
    shown = capsys.readouterr().out
    expected = compare_files(ann_file, runs)['metrics']
    for name, key in (('before', 'a'), ('after', 'b')):
        row = next(line.split() for line in shown.splitlines() if line.split()[:1] == [name])
        assert row[1:3] == [f'{expected[m][key]:.3f}' for m in ('AP', 'APr')]
    assert f'bbox AP {expected["AP"]["difference"]:+.3f} [' in shown
    assert 'after - before; 95% intervals, paired bootstrap over 2 images, 20 resamples' in shown


def compare_files(ann_file, runs):
    return LVISEvaluator(ann_file, 'bbox').compare(*runs, num_resamples=20)


def test_against_needs_something_to_compare(tmp_path, ann_file, samples, capsys):
    boxes, masks = tmp_path / 'boxes.json', tmp_path / 'masks.json'
    boxes.write_text(json.dumps(records_of(samples, with_mask=False)))
    masks.write_text(json.dumps(records_of(samples, with_box=False)))
    command = ['evaluate', str(boxes), '--ann', str(ann_file), '--against']
    for more, message in (
        ([str(masks)], f'it has segm, {boxes} has bbox'),
        ([str(boxes), '--resamples', '0'], '--resamples: expected at least 1, got 0'),
        ([str(tmp_path / 'none.json')], 'none.json'),
    ):
        with pytest.raises(SystemExit, match='2'):
            main([*command, *more])
        error = capsys.readouterr().err
        assert message in error and error.count('\n') == 1


def test_a_diagnosis_is_of_this_run_alone(tmp_path, ann_file, samples):
    boxes, out = tmp_path / 'boxes.json', tmp_path / 'diagnosis.json'
    records = records_of(samples)
    boxes.write_text(json.dumps(records))
    for held in ('no json', '{"segm": 1}'):
        out.write_text(held)
        options = '--iou-type', 'bbox', '--diagnose', out
        assert run(boxes, '--ann', ann_file, *options).returncode == 0
        expected = LVISEvaluator(ann_file).diagnose(records)
        assert json.loads(out.read_text()) == {'bbox': json.loads(json.dumps(expected))}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--out', 'annotations.json/out.json'), 'out.json cannot be written'),
        (('--per-class', 'annotations.json/table.csv'), 'table.csv cannot be written'),
        (('--diagnose', '.'), 'cannot be written: it is a folder'),
        (('--out', './results.json'), '--out is ./results.json, another file of this command'),
        (
            ('--diagnose', 'annotations.json'),
            '--diagnose is annotations.json, another file',
        ),
        (
            ('--diagnose', 'a.json', '--out', 'a.json'),
            '--out is a.json, another file',
        ),
        (('--image-ids', 'empty.txt'), '--image-ids empty.txt is empty, expected one integer'),
        (('--bounds', 100, 1), 'bounds is (100, 1); expected two rising numbers'),
        ((), 'annotation 1: no segmentation'),
    ],
)
def test_bad_options_are_known_before_anything_is_scored(
    tmp_path, monkeypatch, ann_file, samples, options, message
):
    def score(*_):
        raise AssertionError('scored')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LVISEvaluator, 'evaluate', score)
    content = json.loads(ann_file.read_text())
    del content['annotations'][0]['segmentation']
    ann_file.write_text(json.dumps(content))
    (tmp_path / 'results.json').write_text(json.dumps(records_of(samples)))
    (tmp_path / 'empty.txt').touch()
    done = run('results.json', '--ann', ann_file, *options)
    assert done.returncode == 2 and message in done.stderr
    assert json.loads((tmp_path / 'results.json').read_text()) == records_of(samples)
    assert json.loads(ann_file.read_text()) == content


def test_boxes_that_are_taken_for_masks_are_said(tmp_path, ann_file, samples):
    results = tmp_path / 'boxes.json'
    results.write_text(json.dumps(records_of(samples, with_mask=False)))
    note = 'segm: no record has a mask; boxes are taken for masks, as in lvis-api'
    assert note in run(results, '--ann', ann_file, '--iou-type', 'bbox', 'segm').stdout
    assert 'taken for masks' not in run(results, '--ann', ann_file).stdout
    empty = [{**record, 'segmentation': None} for record in json.loads(results.read_text())]
    results.write_text(json.dumps(empty, separators=(',', ': ')))
    assert 'segm' not in run(results, '--ann', ann_file).stdout


def test_categories_that_were_not_trained_on_are_said(tmp_path, annotations, samples):
    for category in annotations['categories']:
        del category['frequency']
    ann, train, results = (tmp_path / f'{name}.json' for name in ('ann', 'train', 'results'))
    ann.write_text(json.dumps(annotations))
    results.write_text(json.dumps(records_of(samples)))
    categories = annotations['categories'][:2]
    chosen = [a for a in annotations['annotations'] if a['category_id'] != 8]
    train.write_text(json.dumps({**annotations, 'annotations': chosen, 'categories': categories}))
    done = run(results, '--ann', ann, '--train', train)
    assert done.returncode == 0
    assert (
        '1 of 3 categories have no count of training images and are in no frequency group, the '
        "first is 'name8'"
    ) in done.stderr
