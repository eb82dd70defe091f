import csv
import json
import os
import socket
import threading

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from pycocotools import mask as mask_utils

from lt_det.evaluation import LVISEvaluator, lvis_metric, per_class
from lt_det.evaluation.lvis_metric import LongTailLVISMetric
from lt_det.evaluation.predictions import encode_masks
from lt_det.evaluation.streaming import Worker

from .metric_cases import (
    NAMES,
    NUM_IMAGES,
    assert_same_arrays,
    make_annotations,
    make_samples,
    run,
    to_records,
)


@pytest.mark.parametrize('limit', [300, 5])
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_equals_the_evaluator(annotations, ann_file, iou_type, limit):
    samples = make_samples(annotations)
    metric = LongTailLVISMetric(ann_file, metric=iou_type, max_per_img=limit)
    result = run(metric, samples)
    evaluator = LVISEvaluator(annotations, iou_type, max_dets=limit)
    expected = evaluator.evaluate(to_records(samples, iou_type))
    assert result == {f'lvis/{iou_type}_{key}': value for key, value in expected.items()}
    np.testing.assert_array_equal(metric.evaluators[iou_type].precision, evaluator.precision)
    assert 0 < result[f'lvis/{iou_type}_AP'] < 1
    assert result[f'lvis/{iou_type}_APf'] == -1


@pytest.mark.parametrize('batch_size', [2, 4])
def test_batch_size_and_order_do_not_matter(annotations, ann_file, batch_size):
    samples = make_samples(annotations)
    one, other = LongTailLVISMetric(ann_file), LongTailLVISMetric(ann_file)
    assert run(one, samples) == run(other, samples[::-1], batch_size)
    assert_same_arrays(one, other)


def test_an_image_that_comes_twice_counts_once(annotations, ann_file):
    samples = make_samples(annotations)
    one, other = LongTailLVISMetric(ann_file), LongTailLVISMetric(ann_file)
    assert run(one, samples) == run(other, samples + samples[:2])


def test_only_masks_that_can_be_scored_are_encoded(monkeypatch, annotations, ann_file):
    encoded = []

    def count(masks, rows):
        encoded.append(len(rows))
        return encode_masks(masks, rows)

    monkeypatch.setattr(lvis_metric, 'encode_masks', count)
    samples = make_samples(annotations)
    run(LongTailLVISMetric(ann_file, max_per_img=10), samples)
    scorable = 0
    for sample in samples:
        order = np.argsort(-sample['pred_instances'].scores.numpy(), kind='stable')[:10]
        image = next(i for i in annotations['images'] if i['id'] == sample['img_id'])
        judged = set(image['neg_category_ids'])
        judged |= {
            a['category_id'] for a in annotations['annotations'] if a['image_id'] == image['id']
        }
        scorable += sum(
            2 * label + 2 in judged for label in sample['pred_instances'].labels[order].tolist()
        )
    assert sum(encoded) == scorable < 10 * (NUM_IMAGES - 1)


def test_masks_in_every_form_encode_alike():
    masks = np.random.default_rng(0).random((5, 7, 9)) < 0.5
    rows = np.array([3, 0])
    expected = [mask_utils.encode(np.asfortranarray(masks[i], dtype=np.uint8)) for i in rows]
    assert encode_masks(masks, rows) == expected
    assert encode_masks(torch.from_numpy(masks), rows) == expected
    assert encode_masks([{'a': i} for i in range(5)], rows) == [{'a': 3}, {'a': 0}]
    assert encode_masks(masks, rows[:0]) == []


def test_no_detection_at_all_is_ap_zero(annotations, ann_file):
    result = run(LongTailLVISMetric(ann_file), make_samples(annotations, per_image=0))
    assert result['lvis/bbox_AP'] == result['lvis/segm_APr'] == result['lvis/segm_AR@300'] == 0
    assert result['lvis/segm_APf'] == -1


def test_a_subset_is_scored_on_the_images_that_were_processed(annotations, ann_file):
    samples = make_samples(annotations)[1:4]
    ids = [sample['img_id'] for sample in samples]
    result = run(LongTailLVISMetric(ann_file, metric='bbox'), samples)
    part = {
        'images': [i for i in annotations['images'] if i['id'] in ids],
        'categories': annotations['categories'],
        'annotations': [a for a in annotations['annotations'] if a['image_id'] in ids],
    }
    expected = LVISEvaluator(part).evaluate(to_records(samples, 'bbox'))
    assert result == {f'lvis/bbox_{key}': value for key, value in expected.items()}


def test_per_class_rows(annotations, ann_file):
    metric = LongTailLVISMetric(ann_file, classwise=True)
    result = run(metric, make_samples(annotations))
    rows = metric.per_class
    assert [row['name'] for row in rows] == list(NAMES)
    assert list(rows[1]) == [
        'category_id',
        'name',
        'frequency',
        'image_count',
        'instance_count',
        'bbox_AP',
        'segm_AP',
    ]
    assert (rows[1]['category_id'], rows[1]['image_count'], rows[1]['frequency']) == (4, 1, 'c')
    assert rows[3]['bbox_AP'] == -1
    assert np.mean([r['segm_AP'] for r in rows[:3]]) == pytest.approx(result['lvis/segm_AP'])


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_the_written_results_give_the_same_metrics(tmp_path, annotations, ann_file, iou_type):
    prefix = str(tmp_path / 'out' / 'results')
    metric = LongTailLVISMetric(ann_file, outfile_prefix=prefix)
    result = run(metric, make_samples(annotations))
    again = LVISEvaluator(ann_file, iou_type).evaluate(f'{prefix}.{iou_type}.json')
    assert again == {key: result[f'lvis/{iou_type}_{key}'] for key in again}


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_fixed_ap(annotations, ann_file, iou_type):
    samples = make_samples(annotations, per_image=30)
    metric = LongTailLVISMetric(ann_file, metric=iou_type, max_per_img=6, fixed_ap=True)
    result = run(metric, samples)
    records = to_records(samples, iou_type)
    expected = LVISEvaluator(annotations, iou_type, max_dets=6).evaluate(records)
    expected.update(LVISEvaluator(annotations, iou_type).fixed_ap(records))
    assert result == {f'lvis/{iou_type}_{key}': value for key, value in expected.items()}
    assert expected['fixed_AP'] != expected['AP']


@pytest.mark.parametrize('per_image, said', [(300, True), (301, False)])
def test_fixed_ap_of_predictions_that_were_cut(annotations, ann_file, recwarn, per_image, said):
    """All that the model gave counts, though most of it cannot be judged and is dropped."""
    metric = LongTailLVISMetric(ann_file, metric='bbox', fixed_ap=True)
    run(metric, make_samples(annotations, per_image=per_image)[:3])
    assert any('cut to that limit' in str(w.message) for w in recwarn) == said


def test_boundary_metric(annotations, ann_file):
    samples = make_samples(annotations)
    result = run(LongTailLVISMetric(ann_file, metric=['segm', 'boundary']), samples)
    expected = LVISEvaluator(annotations, 'boundary').evaluate(to_records(samples, 'segm'))
    assert result['lvis/boundary_AP'] == expected['AP'] <= result['lvis/segm_AP']


def test_per_class_file(tmp_path, annotations, ann_file):
    path = tmp_path / 'new' / 'classes.csv'
    metric = LongTailLVISMetric(ann_file, per_class_file=str(path))
    run(metric, make_samples(annotations))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == list(NAMES)
    assert [float(row['segm_AP']) for row in rows] == [r['segm_AP'] for r in metric.per_class]
    with pytest.raises(ValueError, match=r'classes\.txt: expected the ending'):
        LongTailLVISMetric(ann_file, per_class_file='classes.txt')


def test_per_class_file_as_parquet(tmp_path, monkeypatch):
    rows = [{'category_id': 1, 'name': 'ant', 'image_count': None, 'bbox_AP': 0.5}]
    path = tmp_path / 'classes.parquet'
    monkeypatch.setattr(per_class, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='needs pyarrow'):
        per_class.write_per_class(rows, path)
    monkeypatch.undo()
    parquet = pytest.importorskip('pyarrow.parquet')
    per_class.write_per_class(rows, path)
    assert parquet.read_table(path).to_pylist() == rows


def evaluate_one_rank(rank, world_size, port, ann_file, folder):
    os.chdir(folder)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo', rank=rank, world_size=world_size)
    samples = make_samples(make_annotations())
    padded = samples + samples[:1]  # as a distributed sampler fills up the last round
    metric = LongTailLVISMetric(ann_file)
    metric.dataset_meta = {'classes': NAMES}
    metric.process(None, padded[rank::world_size])
    result = metric.evaluate(len(samples))
    if rank == 0:
        arrays = {
            f'{iou_type}_{name}': getattr(evaluator, name)
            for iou_type, evaluator in metric.evaluators.items()
            for name in ('precision', 'recall')
        }
        np.savez('arrays.npz', **arrays)
        with open('result.json', 'w') as file:
            json.dump(result, file)
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path, annotations, ann_file):
    assert NUM_IMAGES % 2 == 1
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    mp.spawn(evaluate_one_rank, (2, port, ann_file, str(tmp_path)), nprocs=2)
    metric = LongTailLVISMetric(ann_file)
    assert json.loads((tmp_path / 'result.json').read_text()) == run(
        metric, make_samples(annotations)
    )
    arrays = np.load(tmp_path / 'arrays.npz')
    for iou_type, evaluator in metric.evaluators.items():
        np.testing.assert_array_equal(arrays[f'{iou_type}_precision'], evaluator.precision)
        np.testing.assert_array_equal(arrays[f'{iou_type}_recall'], evaluator.recall)


def test_jobs_are_done_in_turn_and_their_errors_raised():
    worker, done = Worker(most=2), []
    for number in range(20):
        worker.submit(lambda number=number: done.append(number))
    worker.wait()
    assert done == list(range(20))
    worker.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.wait()
    worker.wait()


def test_the_network_goes_on_while_masks_are_encoded(monkeypatch, annotations, ann_file):
    started, go_on = threading.Event(), threading.Event()

    def slow(masks, rows):
        started.set()
        assert go_on.wait(30)
        return encode_masks(masks, rows)

    samples = make_samples(annotations)
    expected = run(LongTailLVISMetric(ann_file), samples)
    monkeypatch.setattr(lvis_metric, 'encode_masks', slow)
    metric = LongTailLVISMetric(ann_file)
    metric.dataset_meta = {'classes': NAMES}
    metric.process(None, samples[:2])  # returns though no mask is encoded
    assert started.wait(30) and not metric.results[0]['images']
    go_on.set()
    metric.process(None, samples[2:])
    assert metric.evaluate(len(samples)) == expected
