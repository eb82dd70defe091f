"""Records of detections: what is read, checked and refused."""

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from lt_det.evaluation import LVISEvaluator, reader
from lt_det.formats.result_files import record_blocks, spread_records

from .record_cases import SIDE, corners, detection, encoded, without

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
    ('score is 1000.* expected a finite number', detection(score=10**400)),
    ('expected finite numbers', detection(bbox=[1, 1, 10**400, 3])),
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


@pytest.mark.parametrize('side', [-1e-14, -1e-6])
def test_a_box_that_rounding_turned_inside_out_finds_nothing(tmp_path, small, side):
    records = [detection(), detection(bbox=[10.0, 10.0, side, 20.0], score=0.4)]
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(records))
    for source in (records, path):
        expected = LVISEvaluator(small).evaluate([records[0], detection(bbox=[10, 10, 0, 20])])
        found = LVISEvaluator(small).evaluate(source)
        assert found['AP'] == expected['AP']


@pytest.mark.parametrize('form', ['polygon', 'runs'])
@pytest.mark.parametrize('boxed', [0, 1])
def test_the_box_of_a_mask_of_any_form(tmp_path, small, form, boxed):
    """It counts as the box of compressed run lengths does, which the engine makes itself."""
    image, annotation = small['images'][0], small['annotations'][0]
    boxes = [[10.0, 10.0, 20.0, 20.0], [50.0, 10.0, 9.0, 30.0], [40.0, 60.0, 20.0, 8.0]]
    small['images'] = [image]
    small['annotations'] = [
        {**annotation, 'id': number, 'image_id': image['id'], 'bbox': box, 'area': box[2] * box[3]}
        for number, box in enumerate(boxes, 1)
    ]
    records = []
    for number, box in enumerate(boxes):
        record = detection(image_id=image['id'], bbox=box, score=0.9 - number / 10)
        record['segmentation'] = corners(box) if form == 'polygon' else runs(encoded(box, False))
        records.append(record if number < boxed else without(record, 'bbox'))
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(records))
    expected = LVISEvaluator(small).evaluate(
        [{**r, 'segmentation': encoded(box, True)} for r, box in zip(records, boxes)]
    )
    for source in (records, path):
        found = LVISEvaluator(small).evaluate(source)
        assert found == expected and found['AP'] == pytest.approx(1)


def runs(code: dict) -> dict:
    """The run lengths of a compressed code as numbers."""
    pixels = mask_utils.decode(code).ravel(order='F')
    ends = np.flatnonzero(np.diff(pixels)) + 1
    counts = np.diff([0, *ends, len(pixels)]).tolist()
    return {'size': code['size'], 'counts': counts if pixels[0] == 0 else [0, *counts]}


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


def test_columns_and_files_give_what_records_give(tmp_path, lvis_annotations, lvis_detections):
    records = lvis_detections('bbox', seed=2, per_image=30)
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(records, indent=1))
    names = ('image_id', 'category_id', 'score', 'bbox')
    columns = {name: np.array([record[name] for record in records]) for name in names}
    evaluator = LVISEvaluator(lvis_annotations)
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
