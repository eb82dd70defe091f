import json
import os
import pickle
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from lt_det.cli.main import main
from lt_det.evaluation import LVISEvaluator
from lt_det.formats.foreign_results import read_foreign

from ..tool_process import run_new

SIDE = 64
IDS = {'name4': 4, 'name7': 7, 'name8': 8}


@pytest.fixture
def annotations():
    boxes = [[5, 5, 20, 20], [30, 10, 12, 30], [8, 30, 16, 16], [20, 20, 40, 40]]
    return {
        'images': [
            {
                'id': i,
                'height': SIDE,
                'width': SIDE,
                'neg_category_ids': [7],
                'not_exhaustive_category_ids': [],
            }
            for i in (3, 9)
        ],
        'categories': [
            {'id': i, 'name': f'name{i}', 'frequency': f} for i, f in ((4, 'r'), (7, 'c'), (8, 'f'))
        ],
        'annotations': [
            {
                'id': i + 1,
                'image_id': (3, 9)[i % 2],
                'category_id': (4, 8)[i // 2],
                'bbox': box,
                'area': box[2] * box[3],
                'segmentation': [polygon(box)],
            }
            for i, box in enumerate(boxes)
        ],
    }


def polygon(box):
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def rle(box):
    return mask_utils.frPyObjects([polygon(box)], SIDE, SIDE)[0]


@pytest.fixture
def samples(annotations):
    """What tools/test.py --out of MMDetection dumps."""
    rng = np.random.default_rng(0)
    samples = []
    for image in annotations['images']:
        same = [a for a in annotations['annotations'] if a['image_id'] == image['id']]
        boxes = [(np.array(a['bbox']) + rng.integers(0, 4, 4)).tolist() for a in same * 3]
        corners = torch.tensor(boxes, dtype=torch.float32)
        corners[:, 2:] += corners[:, :2]
        samples.append(
            {
                'img_id': image['id'],
                'ori_shape': (SIDE, SIDE),
                'pred_instances': {
                    'bboxes': corners,
                    'scores': torch.from_numpy(rng.random(len(boxes), dtype=np.float32)),
                    'labels': torch.from_numpy(rng.integers(0, 3, len(boxes))),
                    'masks': [rle(box) for box in boxes],
                },
            }
        )
    return samples


def records_of(samples, with_box=True, with_mask=True):
    records = []
    for sample in samples:
        instances = sample['pred_instances']
        for i, (x1, y1, x2, y2) in enumerate(instances['bboxes'].tolist()):
            record = {
                'image_id': sample['img_id'],
                'category_id': (4, 7, 8)[int(instances['labels'][i])],
                'score': instances['scores'][i].item(),
            }
            if with_box:
                record['bbox'] = [x1, y1, x2 - x1, y2 - y1]
            if with_mask:
                mask = instances['masks'][i]
                record['segmentation'] = {**mask, 'counts': mask['counts'].decode()}
            records.append(record)
    return records


@pytest.fixture
def ann_file(tmp_path, annotations):
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(annotations))
    return path


def test_reads_pickles_of_mmdetection(tmp_path, ann_file, samples):
    path = tmp_path / 'results.pkl'
    path.write_bytes(pickle.dumps(samples))
    found = read_foreign(path, ('name4', 'name7', 'name8'), IDS)
    for iou_type in ('bbox', 'segm'):
        evaluator = LVISEvaluator(ann_file, iou_type)
        expected = evaluator.evaluate(records_of(samples, with_box=iou_type == 'bbox'))
        assert evaluator.evaluate(found[iou_type]) == expected
        assert 0 < expected['AP'] < 1


def test_reads_predictions_of_detectron2(tmp_path, ann_file, samples):
    records = records_of(samples)
    numbered = [{**r, 'category_id': (4, 7, 8).index(r['category_id'])} for r in records]
    path = tmp_path / 'instances_predictions.pth'
    torch.save([{'image_id': 3, 'instances': numbered}], path)
    found = read_foreign(path, ('name4', 'name7', 'name8'), IDS)
    assert found['bbox'] == records
    assert found['segm'] == records_of(samples, with_box=False)


def test_a_pickle_cannot_run_code(tmp_path, ann_file):
    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'made'),)

    path = tmp_path / 'results.pkl'
    path.write_bytes(pickle.dumps([Bad()]))
    with pytest.raises(ValueError, match=r'results\.pkl: holds posix\.mkdir.*not loaded'):
        read_foreign(path, ('name4',), IDS)
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize('content', [{}, [], [{'img_id': 1}], [1]])
def test_other_pickles_are_refused(tmp_path, ann_file, content):
    path = tmp_path / 'results.pkl'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"expected a list of samples with 'img_id'"):
        read_foreign(path, ('name4',), IDS)
    path.write_bytes(b'\x80')
    with pytest.raises(ValueError, match='not a result file'):
        read_foreign(path, ('name4',), IDS)
    with pytest.raises(FileNotFoundError, match='result file not found'):
        read_foreign(tmp_path / 'nowhere.pkl', ('name4',), IDS)


def run(*args) -> CompletedProcess:
    """``lt_det evaluate`` in this process."""
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main(['evaluate', *map(str, args)])
    except SystemExit as end:
        status = end.code
    return CompletedProcess(args, status, out.getvalue(), err.getvalue())


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


@pytest.mark.parametrize('ending', ['pkl', 'pth'])
def test_classes_of_a_model_go_by_name(tmp_path, ann_file, samples, ending):
    results, names = tmp_path / f'results.{ending}', tmp_path / 'names.txt'
    if ending == 'pkl':
        results.write_bytes(pickle.dumps(samples))
    else:
        records = records_of(samples)
        numbers = [{**r, 'category_id': (4, 7, 8).index(r['category_id'])} for r in records]
        torch.save([{'image_id': 3, 'instances': numbers}], results)
    done = run(results, '--ann', ann_file)
    assert done.returncode == 2 and 'numbers its classes and does not name them' in done.stderr
    names.write_text('\n'.join(('name8', 'name7', 'name4')), encoding='utf-8-sig')
    found = read_foreign(results, ('name8', 'name7', 'name4'), IDS)
    expected = LVISEvaluator(ann_file).evaluate(found['bbox'])
    assert expected != LVISEvaluator(ann_file).evaluate(records_of(samples, with_mask=False))
    out = tmp_path / 'out.json'
    run(results, '--ann', ann_file, '--classes', names, '--iou-type', 'bbox', '--out', out)
    assert json.loads(out.read_text())['bbox_AP'] == expected['AP']
    with pytest.raises(ValueError, match="'ant' is no category"):
        read_foreign(results, ('ant',), IDS)
    with pytest.raises(ValueError, match='labels reach from 0 to 2, but there are 2 classes'):
        read_foreign(results, ('name4', 'name7'), IDS)


def test_label_minus_1_is_no_class(tmp_path, samples):
    path = tmp_path / 'results.pkl'
    samples[0]['pred_instances']['labels'][0] = -1
    path.write_bytes(pickle.dumps(samples))
    with pytest.raises(ValueError, match='labels reach from -1'):
        read_foreign(path, tuple(IDS), IDS)


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
        (('--out', './results.json'), '--out is ./results.json, which is the file of RESULTS'),
        (('--diagnose', 'annotations.json'), 'which is the file of --ann; expected another'),
        (('--diagnose', 'a.json', '--out', 'a.json'), 'which is the file of --diagnose'),
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


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(img_id=3.9), 'number 1 has img_id 3.9, expected an integer'),
        (dict(img_id='3'), "number 1 has img_id '3', expected an integer"),
        (dict(scores=3), "number 1 has not as many of each: {'scores': 3,"),
        (dict(labels=1), 'number 1 has not as many of each'),
        (dict(masks=1), 'number 1 has not as many of each'),
    ],
)
def test_samples_of_a_pickle_that_do_not_fit_together(tmp_path, ann_file, samples, change, message):
    content = []
    for sample in samples[:2]:
        instances = dict(sample['pred_instances'].items())
        content.append(dict(img_id=sample['img_id'], pred_instances=instances))
    for key, value in change.items():
        part = content[1] if key == 'img_id' else content[1]['pred_instances']
        part[key] = value if key == 'img_id' else [part[key][0]] * value
    path = tmp_path / 'results.pkl'
    path.write_bytes(pickle.dumps(content))
    done = run(path, '--ann', ann_file, '--classes', 'by-id')
    assert done.returncode == 2 and message in done.stderr


def test_ids_of_samples_are_numbers_of_any_type(tmp_path, ann_file, samples):
    found = []
    for kind in (int, float, np.int32, torch.tensor):
        path = tmp_path / f'{kind.__name__}.pkl'
        path.write_bytes(pickle.dumps([{**s, 'img_id': kind(s['img_id'])} for s in samples]))
        found.append(run(path, '--ann', ann_file, '--classes', 'by-id').stdout)
    assert found == [found[0]] * 4 and 'bbox' in found[0]


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
