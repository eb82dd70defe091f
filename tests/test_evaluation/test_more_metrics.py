"""Metrics beyond those of lvis-api, each against a plain computation of its definition."""

import copy

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from lt_det.evaluation import LVISEvaluator, boundary


@pytest.fixture(scope='module')
def detections(lvis_detections):
    return lvis_detections('bbox', seed=3, per_image=60)


def test_fixed_ap_is_lvis_api_without_a_limit_an_image(lvis_api, lvis_annotations, detections):
    evaluator = LVISEvaluator(lvis_annotations)
    metrics = evaluator.fixed_ap(detections)
    api = lvis_api(lvis_annotations, detections, max_dets=-1)
    np.testing.assert_array_equal(evaluator.precision, api.eval['precision'])
    np.testing.assert_array_equal(evaluator.recall, api.eval['recall'])
    names = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')
    assert {name: metrics[f'fixed_{name}'] for name in names} == {
        name: float(api.results[name]) for name in names
    }


def test_fixed_ap_keeps_the_best_of_each_category(lvis_api, lvis_annotations, detections):
    evaluator = LVISEvaluator(lvis_annotations)
    metrics = evaluator.fixed_ap(detections, max_per_category=20)
    # Lists are sorted stably: the earlier image wins where scores are equal.
    by_image = sorted(detections, key=lambda d: d['image_id'])
    best = []
    for category_id in {d['category_id'] for d in detections}:
        same = [d for d in by_image if d['category_id'] == category_id]
        best += sorted(same, key=lambda d: -d['score'])[:20]
    assert len(best) < len(detections)
    api = lvis_api(lvis_annotations, best, max_dets=-1)
    np.testing.assert_array_equal(evaluator.precision, api.eval['precision'])
    assert metrics['fixed_AP'] == float(api.results['AP'])


def test_ap_pool_ranks_all_categories_in_one_list(lvis_api, lvis_annotations, detections):
    api = lvis_api(lvis_annotations, detections, max_dets=-1)
    num_images = len(lvis_annotations['images'])
    # eval_imgs is ordered by category, area range, image
    parts = [e for i, e in enumerate(api.eval_imgs) if (i // num_images) % 4 == 0 and e]
    scores = np.concatenate([e['dt_scores'] for e in parts])
    order = np.argsort(-scores, kind='stable')
    matched = np.concatenate([e['dt_matches'] for e in parts], axis=1)[:, order] > 0
    counted = ~np.concatenate([e['dt_ignore'] for e in parts], axis=1)[:, order].astype(bool)
    total = sum((e['gt_ignore'] == 0).sum() for e in parts)
    values = []
    for hit, used in zip(matched, counted):
        hit = hit[used]
        recall = np.cumsum(hit) / total
        precision = np.cumsum(hit) / (np.arange(len(hit)) + 1)
        for point in np.linspace(0, 1, 101):
            reached = precision[recall >= point]
            values.append(reached.max() if len(reached) else 0)
    pooled = LVISEvaluator(lvis_annotations).fixed_ap(detections)['AP_pool']
    assert pooled == pytest.approx(np.mean(values), abs=1e-12)
    assert 0.1 < pooled < 0.9


def test_a_subset_is_scored_as_if_it_were_all(lvis_api, lvis_annotations, detections):
    image_ids = [i['id'] for i in lvis_annotations['images']][10:50]
    category_ids = sorted({a['category_id'] for a in lvis_annotations['annotations']})[::2]
    evaluator = LVISEvaluator(lvis_annotations, image_ids=image_ids, category_ids=category_ids)
    metrics = evaluator.evaluate(detections)
    part = {
        'images': [i for i in lvis_annotations['images'] if i['id'] in image_ids],
        'annotations': [
            a
            for a in lvis_annotations['annotations']
            if a['image_id'] in image_ids and a['category_id'] in category_ids
        ],
        'categories': [c for c in lvis_annotations['categories'] if c['id'] in category_ids],
    }
    inside = [d for d in detections if d['image_id'] in image_ids]
    api = lvis_api(part, [d for d in inside if d['category_id'] in category_ids])
    used = np.isin(evaluator.truth.category_ids, category_ids)
    np.testing.assert_array_equal(evaluator.precision[:, :, used], api.eval['precision'])
    assert (evaluator.precision[:, :, ~used] == -1).all()
    assert metrics == {key: float(value) for key, value in api.results.items()}
    with pytest.raises(ValueError, match='category_ids has 99999, which is not in'):
        LVISEvaluator(lvis_annotations, category_ids=[99999])


@pytest.mark.parametrize('limit', [10, 40])
def test_proposal_recall_is_lvis_api_with_one_category(
    lvis_api, lvis_annotations, detections, limit
):
    one = {
        'images': [{**i, 'neg_category_ids': [1]} for i in lvis_annotations['images']],
        'annotations': [{**a, 'category_id': 1} for a in lvis_annotations['annotations']],
        'categories': [c for c in lvis_annotations['categories'] if c['id'] == 1],
    }
    proposals = [{**d, 'category_id': 1} for d in detections]
    api = lvis_api(one, proposals, max_dets=limit)
    metrics = LVISEvaluator(lvis_annotations).proposal_recall(detections, limits=(5, limit))
    for area in ('', 's', 'm', 'l'):
        expected = float(api.results[f'AR{area}@300'])
        assert metrics[f'AR{area}@{limit}'] == pytest.approx(expected, abs=1e-12)
    assert metrics['AR@5'] < metrics[f'AR@{limit}']


def test_proposal_recall_takes_masks_of_any_category(lvis_annotations, lvis_detections):
    segments = lvis_detections('segm', seed=4, per_image=5)
    foreign = [{**d, 'category_id': 1} for d in segments]
    evaluator = LVISEvaluator(lvis_annotations, 'segm')
    assert evaluator.proposal_recall(segments) == evaluator.proposal_recall(foreign)


def test_groups_by_area(lvis_annotations, detections):
    evaluator = LVISEvaluator(lvis_annotations)
    metrics = evaluator.evaluate(detections)
    table = evaluator.frequency_by_area()
    assert {g: table[g]['all'] for g in 'rcf'} == {g: metrics[f'AP{g}'] for g in 'rcf'}
    chosen = evaluator.precision[:, :, evaluator.truth.frequency == 'c', 1]
    assert table['c']['small'] == pytest.approx(chosen[chosen > -1].mean())


def plain_boundary(mask):
    """As defined by the authors of Boundary IoU, with OpenCV."""
    cv2 = pytest.importorskip('cv2')
    height, width = mask.shape
    distance = max(round(0.02 * np.sqrt(height**2 + width**2)), 1)
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)
    return mask - eroded[1:-1, 1:-1]


def test_boundary_ap_takes_the_lower_iou(lvis_api, lvis_annotations, lvis_detections, monkeypatch):
    pytest.importorskip('vernier')
    annotations = copy.deepcopy(lvis_annotations)
    annotations['images'] = annotations['images'][:12]
    ids = {image['id'] for image in annotations['images']}
    annotations['annotations'] = [a for a in annotations['annotations'] if a['image_id'] in ids]
    segments = [d for d in lvis_detections('segm', seed=5, per_image=12) if d['image_id'] in ids]
    plain_iou = mask_utils.iou

    def lower_iou(a, b, crowd):
        ious = plain_iou(a, b, crowd)
        if len(ious):
            edges = [
                [mask_utils.encode(np.asfortranarray(plain_boundary(mask_utils.decode(r))))]
                for r in [*a, *b]
            ]
            edges = [edge[0] for edge in edges]
            ious = np.minimum(ious, plain_iou(edges[: len(a)], edges[len(a) :], crowd))
        return ious

    evaluator = LVISEvaluator(annotations, 'boundary')
    metrics = evaluator.evaluate(segments)
    assert metrics['AP'] < LVISEvaluator(annotations, 'segm').evaluate(segments)['AP']
    monkeypatch.setattr(mask_utils, 'iou', lower_iou)
    api = lvis_api(annotations, segments, 'segm')
    np.testing.assert_array_equal(evaluator.precision, api.eval['precision'])
    np.testing.assert_array_equal(evaluator.recall, api.eval['recall'])


def test_boundary_ap_without_vernier_is_refused_at_once(lvis_annotations, monkeypatch):
    monkeypatch.setattr(boundary, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match="pip install 'vernier"):
        LVISEvaluator(lvis_annotations, 'boundary')


@pytest.mark.parametrize('number, said', [(300, True), (299, False), (301, False)])
def test_results_that_were_cut_are_said_to_be(lvis_annotations, detections, recwarn, number, said):
    image_id = lvis_annotations['images'][0]['id']
    records = [{**detections[0], 'image_id': image_id} for _ in range(number)]
    evaluator = LVISEvaluator(lvis_annotations)
    evaluator.fixed_ap(records)
    evaluator.proposal_recall(records)
    texts = [str(warning.message) for warning in recwarn]
    assert sum('cut to that limit' in text for text in texts) == 2 * said
