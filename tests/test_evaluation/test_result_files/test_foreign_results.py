"""Results of MMDetection and Detectron2: what is read, and what is refused."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import torch

from lt_det.evaluation import LVISEvaluator
from lt_det.formats.foreign_results import read_foreign

from .cases import IDS, records_of, run


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
    names.write_text('name8\nname7 \nname4\n\n', encoding='utf-16')
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
