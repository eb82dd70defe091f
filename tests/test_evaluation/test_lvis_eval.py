import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lt_det.evaluation import LVISEvaluator, reader
from lt_det.evaluation.ground_truth import GroundTruth
from lt_det.formats.result_files import record_blocks, spread_records
from lt_det.formats.segmentations import rle_areas
from lt_det.frequency import ClassFrequency

SIDE = 120


def assert_equals_api(evaluator, metrics, api):
    np.testing.assert_array_equal(evaluator.precision, api.eval['precision'])
    np.testing.assert_array_equal(evaluator.recall, api.eval['recall'])
    assert metrics == {key: float(value) for key, value in api.results.items()}


@pytest.mark.parametrize('iou_type, with_box', [('bbox', True), ('segm', True), ('segm', False)])
def test_equals_lvis_api_on_real_annotations(
    lvis_api, real_annotations, real_detections, iou_type, with_box
):
    detections = real_detections('segm' if not with_box else iou_type)
    # lvis-api takes long
    images = real_annotations['images'][: 25 if iou_type == 'segm' else 50]
    ids = {image['id'] for image in images}
    annotations = [a for a in real_annotations['annotations'] if a['image_id'] in ids]
    real_annotations = {**real_annotations, 'images': images, 'annotations': annotations}
    detections = [d for d in detections if d['image_id'] in ids]
    if not with_box:
        sizes = {i['id']: (i['height'], i['width']) for i in real_annotations['images']}
        for detection in detections:
            del detection['bbox']
            polygons = mask_utils.frPyObjects(
                detection['segmentation'], *sizes[detection['image_id']]
            )
            rle = mask_utils.merge(polygons)
            detection['segmentation'] = {**rle, 'counts': rle['counts'].decode()}
    api = lvis_api(real_annotations, detections, iou_type)
    evaluator = LVISEvaluator(copy.deepcopy(real_annotations), iou_type)
    assert_equals_api(evaluator, evaluator.evaluate(detections), api)
    assert api.results['APr'] > 0


def boxes():
    corner = st.integers(0, 40)
    side = st.sampled_from([0, 1, 8, 10, 32, 33, 70, 96])
    return st.tuples(corner, corner, side, side).map(lambda b: [float(v) for v in b])


@st.composite
def cases(draw, iou_type):
    """Small annotations and detections in which everything that lvis-api treats apart is likely."""
    num_images, num_categories = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    category = st.integers(1, num_categories)
    categories = st.lists(category, max_size=2, unique=True)
    images = [
        {
            'id': 7 * i + 3,
            'height': SIDE,
            'width': SIDE,
            'neg_category_ids': draw(categories),
            'not_exhaustive_category_ids': draw(categories),
        }
        for i in reversed(range(num_images))
    ]
    image = st.sampled_from([i['id'] for i in images])
    annotations = []
    for index in range(draw(st.integers(0, 6))):
        box = draw(boxes())
        annotation = {
            'id': draw(st.sampled_from([1, 100])) + index,
            'image_id': draw(image),
            'category_id': draw(category),
            'bbox': box,
            'area': draw(st.sampled_from([box[2] * box[3], 0, 1024, 9216, 1e10, 2e10])),
            'segmentation': corners(box),
        }
        if draw(st.booleans()):
            annotation['ignore'] = draw(st.integers(0, 1))
        annotations.append(annotation)
    with_box = iou_type == 'bbox' or draw(st.booleans())
    detections = []
    for _ in range(draw(st.integers(1, 12))):
        seen = [a['bbox'] for a in annotations]
        box = draw(st.sampled_from(seen) | boxes() if seen else boxes())
        detection = {
            'image_id': draw(image),
            'category_id': draw(category),
            'score': draw(st.sampled_from([0.1, 0.5, 0.5, 0.9])),
        }
        if with_box:
            detection['bbox'] = box
        if iou_type == 'segm' and not (with_box and draw(st.booleans())):
            detection['segmentation'] = encoded(box, as_text=draw(st.booleans()))
        detections.append(detection)
    frequency = st.sampled_from('rcf')
    return {
        'images': images,
        'categories': [
            {'id': i + 1, 'name': str(i), 'frequency': draw(frequency)}
            for i in reversed(range(num_categories))
        ],
        'annotations': annotations,
    }, detections


def corners(box):
    x, y, w, h = box
    return [[x, y, x, y + h, x + w, y + h, x + w, y]]


def encoded(box, as_text):
    rle = mask_utils.frPyObjects(corners(box), SIDE, SIDE)[0]
    return {**rle, 'counts': rle['counts'].decode()} if as_text else rle


@pytest.mark.filterwarnings('ignore::lt_det.errors.DataWarning')
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_equals_lvis_api_on_any_case(lvis_api, iou_type):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(case=cases(iou_type), max_dets=st.sampled_from([300, 2, -1]))
    def compare(case, max_dets):
        annotations, detections = case
        api = lvis_api(annotations, detections, iou_type, max_dets)
        evaluator = LVISEvaluator(annotations, iou_type, max_dets=max_dets)
        metrics = evaluator.evaluate(detections)
        np.testing.assert_array_equal(evaluator.precision, api.eval['precision'])
        np.testing.assert_array_equal(evaluator.recall, api.eval['recall'])
        assert list(metrics.values()) == [float(v) for v in api.results.values()]

    compare()


def coco_eval(annotations, detections, iou_type):
    """pycocotools' evaluated COCOeval."""
    truth = COCO()
    truth.dataset = copy.deepcopy(annotations)
    for annotation in truth.dataset['annotations']:
        annotation.setdefault('iscrowd', 0)  # which pycocotools needs
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(detections)), iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


@pytest.mark.filterwarnings('ignore::lt_det.errors.DataWarning')
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_equals_pycocotools_on_any_case(capsys, iou_type):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(case=cases(iou_type), crowd=st.lists(st.booleans(), min_size=6, max_size=6))
    def compare(case, crowd):
        annotations, detections = case
        for image in annotations['images']:
            del image['neg_category_ids'], image['not_exhaustive_category_ids']
        for annotation, flag in zip(annotations['annotations'], crowd):
            annotation['iscrowd'] = int(flag)
        expected = coco_eval(annotations, detections, iou_type)
        evaluator = LVISEvaluator(annotations, iou_type)
        metrics = evaluator.evaluate(detections)
        np.testing.assert_array_equal(evaluator.precision, expected.eval['precision'][..., -1])
        np.testing.assert_array_equal(evaluator.recall, expected.eval['recall'][..., -1])
        names = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR@1', 'AR@10', 'AR@100')
        names += ('ARs@100', 'ARm@100', 'ARl@100')
        assert [metrics[name] for name in names] == expected.stats.tolist()

    compare()


def test_equals_pycocotools_on_real_annotations(real_annotations, real_detections, capsys):
    detections = real_detections('bbox', seed=8, per_image=60)
    expected = coco_eval(real_annotations, detections, 'bbox')
    evaluator = LVISEvaluator(real_annotations, protocol='coco')
    metrics = evaluator.evaluate(detections)
    np.testing.assert_array_equal(evaluator.precision, expected.eval['precision'][..., -1])
    np.testing.assert_array_equal(evaluator.recall, expected.eval['recall'][..., -1])
    assert metrics['AP'] == expected.stats[0]
    # groups come from the file in either protocol
    rare = evaluator.precision[:, :, evaluator.truth.frequency == 'r', 0]
    assert metrics['APr'] == rare[rare > -1].mean()


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


@pytest.fixture
def small():
    box = [10.0, 10.0, 20.0, 20.0]
    image = {'height': SIDE, 'width': SIDE, 'not_exhaustive_category_ids': []}
    annotation = {'bbox': box, 'area': 400.0, 'segmentation': corners(box)}
    return {
        'images': [
            {'id': 1, 'neg_category_ids': [2], **image},
            {'id': 2, 'neg_category_ids': [], **image},
        ],
        'categories': [{'id': i, 'name': f'c{i}', 'frequency': 'r'} for i in (1, 2)],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, **annotation}],
    }


def detection(**changes):
    box = [10.0, 10.0, 20.0, 20.0]
    record = {'image_id': 1, 'category_id': 1, 'bbox': box, 'score': 0.5}
    return {**record, 'segmentation': encoded(box, as_text=True), **changes}


def without(record, key):
    return {k: v for k, v in record.items() if k != key}


BAD_DETECTIONS = [
    ('image_id 9 is not in the images of', detection(image_id=9)),
    ('category_id 9 is not in the categories of', detection(category_id=9)),
    ("image_id is '1'; expected an integer", detection(image_id='1')),
    ('score is nan', detection(score=float('nan'))),
    ('score is inf', detection(score=float('inf'))),
    ('score is None', detection(score=None)),
    ('score is missing', without(detection(), 'score')),
    ('width and height must not be negative', detection(bbox=[1, 1, -2, 3])),
    ('expected finite numbers', detection(bbox=[1, 1, float('nan'), 3])),
    (r'expected \[x, y, width, height\]', detection(bbox=[1, 2, 3])),
    ('is str; expected a dict', 'a record'),
]
BAD_MASKS = [
    ('malformed RLE', detection(segmentation={'size': [SIDE, SIDE], 'counts': 'abc'})),
    ('malformed RLE', detection(segmentation={'size': [SIDE, SIDE], 'counts': [5, 6]})),
    ('malformed RLE', detection(segmentation={'size': [SIDE, SIDE], 'counts': 5})),
    ('RLE size is', detection(segmentation={'size': [2, SIDE], 'counts': 'abc'})),
    ('neither polygons nor', detection(segmentation='abc')),
    ('polygon has 4 numbers', detection(segmentation=[[1, 1, 5, 5]])),
    ('no polygon', detection(segmentation=[])),
    ('polygon is int', detection(segmentation=[1, 2, 3, 4, 5, 6])),
    ('not a finite number', detection(segmentation=[[1, 1, 5, 5, 6, float('nan')]])),
]


@pytest.mark.parametrize(
    'iou_type, message, bad',
    [('bbox', *b) for b in BAD_DETECTIONS] + [('segm', *b) for b in BAD_DETECTIONS + BAD_MASKS],
)
def test_an_invalid_record_is_named_or_counted(tmp_path, small, iou_type, message, bad):
    records = [detection(), bad, detection(score=0.4)]
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(records))
    with pytest.raises(ValueError, match=rf'results\.json: record 1.*{message}'):
        LVISEvaluator(small, iou_type).evaluate(path)
    evaluator = LVISEvaluator(small, iou_type, skip_invalid=True)
    assert evaluator.evaluate(records)['AP'] == pytest.approx(1)
    assert sum(evaluator.skipped.values()) == 1


@pytest.mark.parametrize('bad', [bad for _, bad in BAD_MASKS])
def test_masks_do_not_matter_where_boxes_are_compared(tmp_path, small, bad):
    path = tmp_path / 'results.json'
    path.write_text(json.dumps([bad]))
    for source in ([bad], path):
        assert LVISEvaluator(small).evaluate(source)['AP'] == pytest.approx(1)


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_a_record_with_neither_box_nor_mask(tmp_path, small, iou_type):
    record = {'image_id': 1, 'category_id': 1, 'score': 0.5}
    path = tmp_path / 'results.json'
    path.write_text(json.dumps([detection(), record]))
    for source in ([detection(), record], path):
        with pytest.raises(ValueError, match='record 1 .*bbox is missing, and so is segmentation'):
            LVISEvaluator(small, iou_type).evaluate(source)


@pytest.mark.parametrize('iou_type, lacking', [('segm', 'segmentation'), ('bbox', 'bbox')])
def test_a_record_is_taken_for_what_it_has(tmp_path, small, iou_type, lacking):
    """Whatever the first record has: a box stands for a mask, the box of a mask for a box."""
    records = [without(detection(image_id=2, score=0.9), lacking), detection()]
    for order in (records, records[::-1]):
        path = tmp_path / 'results.json'
        path.write_text(json.dumps(order))
        by_file = LVISEvaluator(small, iou_type).evaluate(path)
        assert by_file == LVISEvaluator(small, iou_type).evaluate(order)
        assert by_file['AP'] == pytest.approx(1)
    small['images'][1]['neg_category_ids'] = [1]
    assert LVISEvaluator(small, iou_type).evaluate(records)['AP'] == pytest.approx(0.5)


def test_detections_with_masks_alone_are_diagnosed_by_their_boxes(small):
    records = [detection(), detection(bbox=[50, 50, 9, 9], score=0.9)]
    records[1]['segmentation'] = encoded([50, 50, 9, 9], as_text=True)
    masks_alone = [without(record, 'bbox') for record in records]
    expected = LVISEvaluator(small).diagnose(records)
    assert expected['errors']['all']['count']['background'] == 1
    for some in (masks_alone, [records[0], masks_alone[1]]):
        assert LVISEvaluator(small).diagnose(some) == expected


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


NUMBERS = {
    'float32': np.float32(0.5),
    'float16': np.float16(0.5),
    'an array of one': np.array(0.5),
    'an integer': 1,
}


@pytest.mark.parametrize('score', NUMBERS.values(), ids=list(NUMBERS))
def test_scores_of_any_type(small, score):
    assert LVISEvaluator(small).evaluate([detection(score=score)])['AP'] == pytest.approx(1)


def test_ids_and_boxes_of_any_type(small):
    torch = pytest.importorskip('torch')
    box = [10.0, 10.0, 20.0, 20.0]
    for changes in (
        {'image_id': 1.0, 'category_id': np.float64(1)},
        {'image_id': np.int32(1), 'category_id': torch.tensor(1)},
        {'bbox': np.array(box, np.float32)},
        {'bbox': torch.tensor(box), 'score': torch.tensor(0.5)},
    ):
        assert LVISEvaluator(small).evaluate([detection(**changes)])['AP'] == pytest.approx(1)
    columns = {'image_id': [1.0], 'category_id': [1], 'score': [0.5], 'bbox': [box]}
    for convert in (np.array, torch.tensor, list):
        found = {name: convert(column) for name, column in columns.items()}
        assert LVISEvaluator(small).evaluate(found)['AP'] == pytest.approx(1)
    with pytest.raises(ValueError, match=r'image_id is 1\.5; expected an integer'):
        LVISEvaluator(small).evaluate([detection(image_id=1.5)])


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32'])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, small, encoding):
    results, annotations = tmp_path / 'results.json', tmp_path / 'annotations.json'
    results.write_text(json.dumps([detection()]), encoding=encoding)
    annotations.write_text(json.dumps(small), encoding=encoding)
    assert LVISEvaluator(annotations).evaluate(results)['AP'] == pytest.approx(1)


def test_a_large_file_is_checked_while_it_is_matched(tmp_path, monkeypatch, small):
    monkeypatch.setattr(reader, '_WHOLE', 1000)
    path = tmp_path / 'results.json'
    for bad, message in (
        (detection(image_id=9), 'record 60 .*image_id 9 is not in'),
        (without(detection(), 'score'), 'record 60 .*score is missing'),
        (detection(segmentation={'size': [SIDE, SIDE], 'counts': '~~~'}), 'record 60 .*malformed'),
        (detection(score=float('nan')), 'record 60 .*score is nan'),
    ):
        path.write_text(json.dumps([detection()] * 60 + [without(bad, 'bbox')] + [detection()] * 9))
        with pytest.raises(ValueError, match=message):
            LVISEvaluator(small, 'segm').evaluate(path)


def test_a_large_file_is_looked_at_in_parts(tmp_path):
    records = [{'a': i, 'text': 'x' * (i % 7)} for i in range(2000)]
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(records))
    parts = list(spread_records(path, 6, 1000))
    assert len(parts) == 6
    seen = [record for part in parts for record in part]
    assert len(seen) > 100 and all(record in records for record in seen)
    assert seen[0]['a'] < 5 and seen[-1]['a'] > 1995
    assert len({part[0]['a'] // 330 for part in parts}) == 6


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
    with pytest.raises(ValueError, match=r'broken\.json is not json'):
        LVISEvaluator(tmp_path / 'broken.json')
    with pytest.raises(ValueError, match='iou_type'):
        LVISEvaluator(small, iou_type='keypoints')


def test_columns_and_files_give_what_records_give(tmp_path, real_annotations, real_detections):
    records = real_detections('bbox', seed=2, per_image=30)
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(records, indent=1))
    names = ('image_id', 'category_id', 'score', 'bbox')
    columns = {name: np.array([record[name] for record in records]) for name in names}
    evaluator = LVISEvaluator(real_annotations)
    expected = evaluator.evaluate(records)
    assert evaluator.evaluate(columns) == expected
    assert evaluator.evaluate(path) == expected
    columns['score'][7] = np.nan
    with pytest.raises(ValueError, match='record 7 .*score is .*nan'):
        evaluator.evaluate(columns)
    with pytest.raises(ValueError, match="lacks 'score'"):
        evaluator.evaluate({'image_id': [1], 'category_id': [1]})
    with pytest.raises(ValueError, match='equal length'):
        evaluator.evaluate({**columns, 'score': [0.5]})


@pytest.mark.parametrize('block_bytes', [1, 7, 64, 10**6])
@pytest.mark.parametrize('indent', [None, 2])
def test_a_result_file_is_read_in_pieces(tmp_path, block_bytes, indent):
    records = [{'a': i, 's': '"}, {"', 'parts': [{'b': 1}, {'b': 2}]} for i in range(30)]
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(records, indent=indent))
    blocks = list(record_blocks(path, block_bytes))
    assert [record for block in blocks for record in block] == records
    path.write_text(json.dumps(records)[:-2])
    with pytest.raises(ValueError, match=r'results\.json: not a json file'):
        list(record_blocks(path, block_bytes))
    path.write_text('{}')
    with pytest.raises(ValueError, match='expected a json list'):
        list(record_blocks(path, block_bytes))
    path.write_text(' []')
    assert [record for block in record_blocks(path, block_bytes) for record in block] == []


def test_annotations_are_not_changed(small):
    before = copy.deepcopy(small)
    LVISEvaluator(small, 'segm').evaluate([detection()])
    assert small == before
    assert GroundTruth(small).category_names == ['c1', 'c2']
