"""The same arrays as lvis-api and pycocotools, on any case and on real annotations."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lt_det.evaluation import LVISEvaluator

from .record_cases import SIDE, corners, encoded


def assert_equals_api(evaluator, metrics, api):
    np.testing.assert_array_equal(evaluator.precision, api.eval['precision'])
    np.testing.assert_array_equal(evaluator.recall, api.eval['recall'])
    assert metrics == {key: float(value) for key, value in api.results.items()}


@pytest.mark.parametrize('iou_type, with_box', [('bbox', True), ('segm', True), ('segm', False)])
def test_equals_lvis_api_on_lvis_annotations(
    lvis_api, lvis_annotations, lvis_detections, iou_type, with_box
):
    detections = lvis_detections('segm' if not with_box else iou_type)
    # lvis-api takes long
    images = lvis_annotations['images'][: 25 if iou_type == 'segm' else 50]
    ids = {image['id'] for image in images}
    annotations = [a for a in lvis_annotations['annotations'] if a['image_id'] in ids]
    lvis_annotations = {**lvis_annotations, 'images': images, 'annotations': annotations}
    detections = [d for d in detections if d['image_id'] in ids]
    if not with_box:
        sizes = {i['id']: (i['height'], i['width']) for i in lvis_annotations['images']}
        for detection in detections:
            del detection['bbox']
            polygons = mask_utils.frPyObjects(
                detection['segmentation'], *sizes[detection['image_id']]
            )
            rle = mask_utils.merge(polygons)
            detection['segmentation'] = {**rle, 'counts': rle['counts'].decode()}
    api = lvis_api(lvis_annotations, detections, iou_type)
    evaluator = LVISEvaluator(copy.deepcopy(lvis_annotations), iou_type)
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


def test_equals_pycocotools_on_lvis_annotations(lvis_annotations, lvis_detections, capsys):
    detections = lvis_detections('bbox', seed=8, per_image=60)
    expected = coco_eval(lvis_annotations, detections, 'bbox')
    evaluator = LVISEvaluator(lvis_annotations, protocol='coco')
    metrics = evaluator.evaluate(detections)
    np.testing.assert_array_equal(evaluator.precision, expected.eval['precision'][..., -1])
    np.testing.assert_array_equal(evaluator.recall, expected.eval['recall'][..., -1])
    assert metrics['AP'] == expected.stats[0]
    # groups come from the file in either protocol
    rare = evaluator.precision[:, :, evaluator.truth.frequency == 'r', 0]
    assert metrics['APr'] == rare[rare > -1].mean()
