import copy

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from lt_det.errors import BadInputError
from lt_det.evaluation import LVISEvaluator
from lt_det.evaluation.ground_truth import GroundTruth
from lt_det.evaluation.streaming import ImageStream
from lt_det.formats.segmentations import rle_areas
from lt_det.frequency import ClassFrequency

from .record_cases import SIDE, detection, encoded, without


def test_an_annotation_with_id_0_can_be_found(lvis_api, small):
    """lvis-api and pycocotools take its match for none; files that count from 0 are common."""
    small['annotations'][0]['id'] = 0
    assert lvis_api(small, [detection()]).results['AP'] == 0
    with pytest.warns(UserWarning, match='id 0'):
        evaluator = LVISEvaluator(small)
    assert evaluator.evaluate([detection()])['AP'] == pytest.approx(1)


def test_ignore_is_honoured_though_the_engine_does_not(lvis_api, small):
    second = {**small['annotations'][0], 'id': 2, 'bbox': [50, 50, 9, 9], 'area': 81.0, 'ignore': 1}
    small['annotations'].append(second)
    found = [detection(), detection(bbox=[50, 50, 9, 9], score=0.9)]
    assert LVISEvaluator(small).evaluate(found)['AP'] == lvis_api(small, found).results['AP'] > 0.9


@pytest.mark.parametrize('protocol', ['lvis', 'coco'])
def test_groups_come_from_the_training_set_where_the_file_has_none(small, protocol):
    for category in small['categories']:
        del category['frequency']
    if protocol == 'coco':
        for image in small['images']:
            del image['neg_category_ids'], image['not_exhaustive_category_ids']
    metrics = LVISEvaluator(small).evaluate([detection()])
    assert metrics['APr'] == metrics['APc'] == metrics['APf'] == -1
    seen = ClassFrequency([50, 5], class_names=['c2', 'c1'])  # by name, in another order
    metrics = LVISEvaluator(small, frequency=seen).evaluate([detection()])
    assert metrics['APr'] == pytest.approx(1) and metrics['APc'] == metrics['APf'] == -1
    evaluator = LVISEvaluator(small, frequency=seen, bounds=(2, 4))
    assert evaluator.truth.frequency.tolist() == ['f', 'f']
    assert evaluator.truth.protocol == protocol
    with pytest.raises(ValueError, match='training images of the classes are not known'):
        LVISEvaluator(small, bounds=(2, 4))
    with pytest.raises(ValueError, match='3 classes without names'):
        LVISEvaluator(small, frequency=ClassFrequency([1, 2, 3]))
    for category, count in zip(small['categories'], (5, 50)):
        category['image_count'] = count
    assert LVISEvaluator(small).truth.frequency.tolist() == ['r', 'c']


def test_protocols_that_cannot_be(small):
    with pytest.raises(ValueError, match="protocol is 'voc'"):
        LVISEvaluator(small, protocol='voc')
    for image in small['images']:
        del image['neg_category_ids'], image['not_exhaustive_category_ids']
    with pytest.raises(ValueError, match="which protocol 'lvis' needs"):
        LVISEvaluator(small, protocol='lvis')


def test_masks_are_measured_as_pycocotools_does():
    rng = np.random.default_rng(0)
    masks = [rng.random((30, 40)) < p for p in (0, 0.01, 0.5, 0.99, 1)]
    rles = [mask_utils.encode(np.asfortranarray(m, dtype=np.uint8)) for m in masks]
    counts = [rle['counts'] for rle in rles]
    pixels = np.full(len(counts), 30 * 40)
    assert rle_areas(counts, pixels).tolist() == mask_utils.area(rles).tolist()
    damaged = [c[:-1] or b'\n' for c in counts] + [counts[2] + b'1', b'~~', b'P' * 20, b'T1O']
    assert (rle_areas(damaged, np.full(len(damaged), 30 * 40)) == -1).all()


def test_detections_with_masks_alone_are_diagnosed_by_their_boxes(small):
    records = [detection(), detection(bbox=[50, 50, 9, 9], score=0.9)]
    records[1]['segmentation'] = encoded([50, 50, 9, 9], as_text=True)
    masks_alone = [without(record, 'bbox') for record in records]
    expected = LVISEvaluator(small).diagnose(records)
    assert expected['errors']['all']['count']['background'] == 1
    for some in (masks_alone, [records[0], masks_alone[1]]):
        assert LVISEvaluator(small).diagnose(some) == expected


def test_boundaries_are_neither_diagnosed_nor_compared(small):
    pytest.importorskip('vernier')
    evaluator = LVISEvaluator(small, 'boundary')
    for work in (evaluator.diagnose, lambda records: evaluator.compare(records, records)):
        with pytest.raises(
            BadInputError, match="iou_type is 'boundary'; expected 'bbox' or 'segm'"
        ):
            work([detection()])


@pytest.mark.parametrize('source', ['memory', 'file'])
def test_no_detection_is_ap_0_and_said(tmp_path, small, source):
    path = tmp_path / 'results.json'
    path.write_text('[]')
    with pytest.warns(UserWarning, match='no detection to score, AP is 0'):
        metrics = LVISEvaluator(small).evaluate([] if source == 'memory' else path)
    assert metrics['AP'] == metrics['APr'] == 0
    assert metrics['APf'] == -1
    with pytest.raises(ValueError, match='expected a'):
        LVISEvaluator(small).evaluate({'images': []})


@pytest.mark.parametrize('key', ['image_id', 'category_id'])
def test_ids_that_no_float64_holds(small, key):
    """Time stamps in nanoseconds, hashes of 64 bits."""
    long = dict(zip((1, 2), (2**53 + 1, 2**53 + 3)))
    for record in small['images' if key == 'image_id' else 'categories']:
        record['id'] = long[record['id']]
    small['annotations'][0][key] = long[1]
    if key == 'category_id':
        small['images'][0]['neg_category_ids'] = [long[2]]
    record = without(detection(**{key: long[1]}), 'segmentation')
    columns = {name: [value] for name, value in record.items()}
    evaluator = LVISEvaluator(small)
    for detections in ([record], columns, {k: np.array(v) for k, v in columns.items()}):
        assert evaluator.evaluate(detections)['AP'] == pytest.approx(1)
        assert evaluator.fixed_ap(detections)['AP_pool'] == pytest.approx(1)
    stream = ImageStream(evaluator.truth, 'bbox', 300, evaluator.categories)
    stream.add(evaluator.truth, 0, evaluator.read([record]))
    assert ImageStream.arrays([stream]).precision[..., 0, 0].min() > 0.99


@pytest.mark.parametrize('limit', [-1, 310])
def test_limits_above_300_are_those_of_an_image(lvis_api, small, limit):
    """The engine's own limit of 300 of a category of an image must not come on top."""
    box = small['annotations'][0]['bbox']
    shifted = [[box[0] + 3 * i, *box[1:]] for i in range(330)]
    small['annotations'] = [
        {**small['annotations'][0], 'id': i + 1, 'bbox': b} for i, b in enumerate(shifted)
    ]
    found = [detection(bbox=b, score=0.9 - i / 1000) for i, b in enumerate(shifted)]
    for more in ([], [detection(bbox=[1, 1, 0, 5])]):
        api = lvis_api(small, [*more, *found], max_dets=limit)
        evaluator = LVISEvaluator(small, max_dets=limit)
        evaluator.evaluate([*more, *found])
        np.testing.assert_array_equal(evaluator.recall, api.eval['recall'])
        np.testing.assert_array_equal(evaluator.precision, api.eval['precision'])
    assert evaluator.recall.max() > 0.8


def test_masks_of_the_annotations_are_checked_before_anything_is_scored(small):
    for segmentation, message in (
        ([[1, 1, 5, 5]], 'annotation 1: polygon has 4 numbers'),
        ([], 'annotation 1: no segmentation'),
        ({'size': [SIDE, SIDE], 'counts': 'abc'}, 'annotation 1: malformed RLE'),
    ):
        small['annotations'][0]['segmentation'] = segmentation
        with pytest.raises(ValueError, match=message):
            LVISEvaluator(small, 'segm')
        assert LVISEvaluator(small).evaluate([detection()])['AP'] == pytest.approx(1)
        ignoring = LVISEvaluator(small, 'segm', skip_invalid=True)
        assert ignoring.evaluate([detection()])['AP'] == -1


@pytest.mark.parametrize('bounds', [(100, 1), (5, 5), (-2, 3), (5,), (1, 2, 3)])
def test_bounds_that_leave_a_group_empty(small, bounds):
    with pytest.raises(BadInputError, match='expected two rising numbers of images'):
        LVISEvaluator(small, frequency=ClassFrequency([50, 5]), bounds=bounds)


def test_a_bad_frequency_is_named(small):
    small['categories'][0]['frequency'] = 'rare'
    with pytest.raises(ValueError, match="category 1 has frequency 'rare'"):
        LVISEvaluator(small)


def test_files_that_are_missing_or_no_json(tmp_path, small):
    with pytest.raises(FileNotFoundError, match=r'annotation file .*nowhere\.json does not exist'):
        LVISEvaluator(tmp_path / 'nowhere.json')
    with pytest.raises(FileNotFoundError, match=r'result file not found.*nowhere\.json'):
        LVISEvaluator(small).evaluate(tmp_path / 'nowhere.json')
    (tmp_path / 'broken.json').write_text('{"images": [')
    with pytest.raises(ValueError, match=r'broken\.json: not a json file'):
        LVISEvaluator(tmp_path / 'broken.json')
    with pytest.raises(ValueError, match='iou_type'):
        LVISEvaluator(small, iou_type='keypoints')


def test_annotations_are_not_changed(small):
    before = copy.deepcopy(small)
    LVISEvaluator(small, 'segm').evaluate([detection()])
    assert small == before
    assert GroundTruth(small).category_names == ['c1', 'c2']
