"""Classes, predictions and annotations of any kind: scored by their rules, or refused."""

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from lt_det.errors import BadInputError
from lt_det.evaluation import LVISEvaluator
from lt_det.evaluation.lvis_metric import LongTailLVISMetric
from lt_det.frequency import ClassFrequency

from .metric_cases import HEIGHT, NAMES, WIDTH, make_annotations, make_samples, run, to_records


def test_some_classes_in_another_order(annotations, ann_file):
    samples = make_samples(annotations)
    everything = LongTailLVISMetric(ann_file)
    run(everything, samples)
    order = torch.tensor([1, 0, -1, -1])  # new labels: bee, ant
    for sample in samples:
        instances = sample['pred_instances']
        instances.labels = order[instances.labels]
        sample['pred_instances'] = instances[instances.labels >= 0]
    metric = LongTailLVISMetric(ann_file)
    metric.dataset_meta = {'classes': ('bee', 'ant')}
    metric.process(None, samples)
    metric.evaluate(len(samples))
    assert [row['name'] for row in metric.per_class] == ['ant', 'bee']
    for row, expected in zip(metric.per_class, everything.per_class):
        assert row['segm_AP'] == expected['segm_AP']


def test_classes_that_do_not_belong_to_the_file(ann_file):
    metric = LongTailLVISMetric(ann_file)
    with pytest.raises(
        ValueError,
        match=r"annotations\.json has no category 'cow' \(1 of the 3 .*it has 'cat', 'dog', which",
    ):
        metric.dataset_meta = {'classes': ('ant', 'bee', 'cow')}
    with pytest.raises(
        ValueError,
        match=r"has no category 'eel' \(1 of the 5 classes of the data set\); expected all",
    ):
        metric.dataset_meta = {'classes': (*NAMES, 'eel')}
    metric.dataset_meta = {'classes': ('ant', 'bee', 'caat', 'dog')}  # one name respelled
    assert metric._categories.tolist() == [0, 1, 2, 3]


def code(size=(HEIGHT, WIDTH)) -> dict:
    return mask_utils.encode(np.asfortranarray(np.ones(size, np.uint8)))


def change(sample, **values):
    for key, value in values.items():
        sample['pred_instances'][key] = value


def plain(sample, **values):
    """The same as a dict, which takes any length."""
    sample['pred_instances'] = {**dict(sample['pred_instances'].items()), **values}


@pytest.mark.parametrize(
    'message, spoil',
    [
        ('image 77 is not in', lambda s: s.update(img_id=77)),
        ('not finite', lambda s: change(s, scores=torch.full((12,), float('nan')))),
        ('x2 < x1', lambda s: change(s, bboxes=torch.tensor([[5.0, 5, 1, 9]]).repeat(12, 1))),
        ('labels reach from 4 to 4', lambda s: change(s, labels=torch.full((12,), 4))),
        ('masks have the size', lambda s: change(s, masks=torch.ones(12, 5, 5, dtype=torch.bool))),
        ('3 masks for 12 scores', lambda s: plain(s, masks=[code()] * 3)),
        ('prediction for image 8: segmentation', lambda s: change(s, masks=[code()] * 11 + [None])),
        ('masks have the size', lambda s: change(s, masks=[code()] * 11 + [code((5, 5))])),
        (
            'counts are no code of 3072 pixels',
            lambda s: change(s, masks=[code()] * 11 + [{**code(), 'counts': b'05'}]),
        ),
        ('as many of each', lambda s: plain(s, bboxes=torch.ones(3, 4))),
        ('needs masks', lambda s: s['pred_instances'].pop('masks')),
        ('was loaded with height x width 64 x 48, but', lambda s: s.update(ori_shape=(64, 48))),
    ],
)
def test_predictions_that_cannot_be_scored(annotations, ann_file, message, spoil):
    samples = make_samples(annotations)[1:2]
    spoil(samples[0])
    with pytest.raises(ValueError, match=message):
        run(LongTailLVISMetric(ann_file), samples)


def test_a_box_that_rounding_turned_inside_out_is_empty(annotations, ann_file):
    samples = make_samples(annotations)[1:2]
    instances = samples[0]['pred_instances']
    instances['bboxes'][0, 2] = instances['bboxes'][0, 0]
    expected = run(LongTailLVISMetric(ann_file, metric='bbox'), samples)
    instances['bboxes'][0, 2] -= 1e-5
    assert run(LongTailLVISMetric(ann_file, metric='bbox'), samples) == expected


def test_boxes_of_another_frame_are_refused(annotations, ann_file):
    samples = make_samples(annotations)
    expected = run(LongTailLVISMetric(ann_file, metric='bbox'), samples)
    for sample in samples:
        sample['ori_shape'] = (HEIGHT + 1, WIDTH)  # rounded in another way
    assert run(LongTailLVISMetric(ann_file, metric='bbox'), samples) == expected
    samples[4]['ori_shape'] = (WIDTH, HEIGHT)
    number = annotations['images'][4]['id']
    with pytest.raises(
        BadInputError, match=f'image {number} was loaded .* 64 x 48, .* has 48 x 64'
    ):
        run(LongTailLVISMetric(ann_file, metric='bbox'), samples)


def test_options_are_checked_before_anything_runs(tmp_path, ann_file):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        LongTailLVISMetric(str(tmp_path / 'nowhere.json'))
    with pytest.raises(ValueError, match="metric is 'proposal'"):
        LongTailLVISMetric(ann_file, metric='proposal')


def as_coco(annotations):
    """The same annotations as a COCO json of a person's own: no lists, no statistics."""
    for image in annotations['images']:
        del image['neg_category_ids'], image['not_exhaustive_category_ids']
    for category in annotations['categories']:
        del category['frequency'], category['image_count'], category['instance_count']
    annotations['annotations'][0]['iscrowd'] = 1
    return annotations


@pytest.mark.parametrize('limit', [None, 2])
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_coco_annotations_are_scored_by_their_rules(tmp_path, annotations, iou_type, limit):
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(as_coco(annotations)))
    samples = make_samples(annotations)
    metric = LongTailLVISMetric(str(path), metric=iou_type, max_per_img=limit)
    result = run(metric, samples, batch_size=3)
    evaluator = LVISEvaluator(annotations, iou_type, max_dets=limit)
    expected = evaluator.evaluate(to_records(samples, iou_type))
    assert result == {f'coco/{iou_type}_{key}': value for key, value in expected.items()}
    assert {'AR@1', f'AR@{limit or 100}'} <= expected.keys()
    assert ('AR@10' in expected) == (limit is None)
    np.testing.assert_array_equal(metric.evaluators[iou_type].precision, evaluator.precision)
    assert expected['APr'] == -1


def test_groups_from_the_training_set(tmp_path, annotations):
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(as_coco(annotations)))
    metric = LongTailLVISMetric(str(path), metric='bbox', bounds=(3, 30))
    metric.dataset_meta = {'classes': ('dog', 'cat', 'bee', 'ant')}
    assert metric.wants_frequency
    metric.use_frequency(ClassFrequency([2, 20, 200, 3]))
    metric.dataset_meta = {'classes': NAMES}
    assert metric.truth.frequency.tolist() == ['r', 'f', 'c', 'r']
    samples = make_samples(annotations)
    metric.process(None, samples)
    result = metric.evaluate(len(samples))
    ap = {row['name']: row['bbox_AP'] for row in metric.per_class}
    assert result['coco/bbox_APf'] == ap['bee'] and result['coco/bbox_APc'] == ap['cat']
    assert [row['image_count'] for row in metric.per_class] == [3, 200, 20, 2]


@pytest.mark.parametrize('has_list', [True, False])
def test_without_annotations_results_are_written_and_metrics_left_out(
    tmp_path, annotations, has_list
):
    content = {**as_coco(annotations), 'annotations': []}
    if not has_list:
        del content['annotations']
    path = tmp_path / 'test.json'
    path.write_text(json.dumps(content))
    samples = make_samples(make_annotations())
    metric = LongTailLVISMetric(str(path), outfile_prefix=str(tmp_path / 'out' / 'r'))
    assert run(metric, samples) == {}
    for iou_type in ('bbox', 'segm'):
        records = json.loads((tmp_path / 'out' / f'r.{iou_type}.json').read_text())
        assert len(records) == sum(len(sample['pred_instances']) for sample in samples)
    assert [p.name for p in sorted((tmp_path / 'out').iterdir())] == ['r.bbox.json', 'r.segm.json']
