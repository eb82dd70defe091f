import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from lt_det.evaluation import LVISEvaluator, matching, result_files
from lt_det.evaluation.ground_truth import LVISGroundTruth
from lt_det.evaluation.masks import rle_areas
from lt_det.evaluation.matching import Matches
from lt_det.evaluation.overlaps import box_iou
from lt_det.evaluation.reader import DetectionReader
from lt_det.formats.result_files import record_blocks

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
    if iou_type == 'segm':  # lvis-api takes long
        images = real_annotations['images'][:50]
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
            'id': draw(st.sampled_from([0, 100])) + index,
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


@pytest.mark.filterwarnings('ignore:.*annotation id 0')
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_equals_lvis_api_on_any_case(lvis_api, iou_type):
    @settings(max_examples=100, deadline=None, derandomize=True)
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


def test_box_iou_is_bit_equal_to_pycocotools():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 100, (2, 300, 4))
    b[:50] = a[:50]
    b[50:60, 2] = 0
    expected = mask_utils.iou(a.tolist(), b.tolist(), [0] * 300).diagonal()
    np.testing.assert_array_equal(box_iou(a, b), expected)


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_matching_images_apart_gives_the_same_arrays(real_annotations, real_detections, iou_type):
    evaluator = LVISEvaluator(real_annotations, iou_type)
    detections = real_detections(iou_type, seed=1, per_image=40)
    evaluator.evaluate(detections)
    expected = evaluator.precision, evaluator.recall
    reader = DetectionReader(evaluator.truth, iou_type)
    by_image = {}
    for detection in detections:
        by_image.setdefault(detection['image_id'], []).append(detection)
    parts = [evaluator.match(reader.read(part)) for part in by_image.values()]
    evaluator.accumulate(Matches.concatenate(parts))
    np.testing.assert_array_equal(evaluator.precision, expected[0])
    np.testing.assert_array_equal(evaluator.recall, expected[1])


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
    ('image_id 9 is not in', detection(image_id=9)),
    ('category_id 9 is not in', detection(category_id=9)),
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


@pytest.mark.parametrize('iou_type, field', [('bbox', 'bbox'), ('segm', 'segmentation')])
def test_a_record_with_neither_box_nor_mask(small, iou_type, field):
    record = {'image_id': 1, 'category_id': 1, 'score': 0.5}
    with pytest.raises(ValueError, match=f'record 0 .*{field} is missing'):
        LVISEvaluator(small, iou_type).evaluate([record])


def test_no_result_is_an_error_unless_invalid_ones_are_skipped(small):
    with pytest.raises(ValueError, match='empty'):
        LVISEvaluator(small).evaluate([])
    metrics = LVISEvaluator(small, skip_invalid=True).evaluate([])
    assert metrics['AP'] == metrics['APr'] == 0
    assert metrics['APf'] == -1
    with pytest.raises(ValueError, match='expected a'):
        LVISEvaluator(small).evaluate({'images': []})


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda a: a['images'][0].pop('neg_category_ids'), r"images\[0\] lacks 'neg_category_ids'"),
        (lambda a: a['images'][1].pop('not_exhaustive_category_ids'), 'not_exhaustive_category'),
        (lambda a: a['categories'][1].pop('frequency'), r"categories\[1\] lacks 'frequency'"),
        (lambda a: a['categories'][0].update(frequency='x'), "frequency 'x'"),
        (lambda a: a.pop('annotations'), "no list 'annotations'"),
        (lambda a: a['images'][1].update(id=1), 'images have the id 1 twice'),
        (lambda a: a['categories'][1].update(id=1), 'categories have the id 1 twice'),
        (lambda a: a['annotations'].append(a['annotations'][0]), 'annotations have the id 1 twice'),
        (lambda a: a['annotations'][0].update(category_id=5), 'annotation 1 has category_id 5'),
        (lambda a: a['annotations'][0].update(image_id=5), 'annotation 1 has image_id 5'),
        (lambda a: a['annotations'][0].update(bbox=[0, 0, -1, 1]), 'annotation 1 has bbox'),
        (lambda a: a['annotations'][0].update(bbox=[0, 0]), r'annotation 1 has bbox \[0, 0\]'),
        (
            lambda a: a['annotations'][0].update(area='big'),
            "annotation 1 has area 'big'; expected a",
        ),
        (lambda a: a['annotations'][0].update(image_id=1.5), r'annotations\[0\] has image_id 1\.5'),
        (lambda a: a['images'][1].update(id='2'), r"images\[1\] has id '2'; expected an integer"),
        (lambda a: a['images'][0].pop('height'), 'image 1 lacks height or width'),
        (lambda a: a['annotations'][0].pop('segmentation'), "1 has no 'segmentation'"),
    ],
)
def test_annotations_that_cannot_be_used(tmp_path, small, change, message):
    change(small)
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(small))
    with pytest.raises(ValueError, match=rf'annotations\.json: .*{message}'):
        LVISEvaluator(path, 'segm')


def test_a_short_polygon_of_the_annotations_is_named(small):
    small['annotations'][0]['segmentation'] = [[1, 1, 5, 5]]
    with pytest.raises(ValueError, match='annotation 1: polygon has 4 numbers'):
        LVISEvaluator(small, 'segm').evaluate([detection()])


def test_files_that_are_missing_or_no_json(tmp_path, small):
    with pytest.raises(FileNotFoundError, match=r'annotation file not found.*nowhere\.json'):
        LVISEvaluator(tmp_path / 'nowhere.json')
    with pytest.raises(FileNotFoundError, match=r'result file not found.*nowhere\.json'):
        LVISEvaluator(small).evaluate(tmp_path / 'nowhere.json')
    (tmp_path / 'broken.json').write_text('{"images": [')
    with pytest.raises(ValueError, match=r'broken\.json: not a json file'):
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
    assert [record for block, _ in blocks for record in block] == records
    assert blocks[-1][1] == path.stat().st_size
    path.write_text(json.dumps(records)[:-2])
    with pytest.raises(ValueError, match=r'results\.json: not a json file'):
        list(record_blocks(path, block_bytes))
    path.write_text('{}')
    with pytest.raises(ValueError, match='expected a json list'):
        list(record_blocks(path, block_bytes))
    path.write_text(' []')
    assert [record for block, _ in record_blocks(path, block_bytes) for record in block] == []


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_several_processes_give_the_same_arrays(
    tmp_path, monkeypatch, real_annotations, real_detections, iou_type
):
    monkeypatch.setattr(result_files.text_pieces, '__defaults__', (20000,))
    for name in ('_CHUNK', '_MASK_CHUNK'):
        monkeypatch.setattr(matching, name, 500)
    path = tmp_path / 'results.json'
    records = real_detections(iou_type, seed=6, per_image=30)
    path.write_text(json.dumps(records))
    one, two = (LVISEvaluator(real_annotations, iou_type, num_workers=n) for n in (1, 2))
    assert one.evaluate(path) == two.evaluate(path)
    np.testing.assert_array_equal(one.precision, two.precision)
    np.testing.assert_array_equal(one.recall, two.recall)

    records[1700]['score'] = None
    path.write_text(json.dumps(records))
    with pytest.raises(ValueError, match='record 1700 '):
        two.evaluate(path)
    skipping = LVISEvaluator(real_annotations, iou_type, skip_invalid=True, num_workers=2)
    skipping.evaluate(path)
    assert skipping.skipped == {'score': 1}
    path.write_text('[]')
    with pytest.raises(ValueError, match='empty'):
        two.evaluate(path)


def test_annotations_are_not_changed(small):
    before = copy.deepcopy(small)
    LVISEvaluator(small, 'segm').evaluate([detection()])
    assert small == before
    assert LVISGroundTruth(small).category_names == ['c1', 'c2']


def test_needs_neither_torch_nor_mmdet():
    code = (
        'import sys; sys.modules.update(torch=None, mmdet=None, mmengine=None, mmcv=None)\n'
        'import importlib.util as u; find = u.find_spec\n'
        "u.find_spec = lambda n, *a: None if n in ('mmdet', 'torch') else find(n, *a)\n"
        'from lt_det.evaluation import LVISEvaluator'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
