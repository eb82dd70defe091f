"""lvis-api as the oracle, and the annotations it is compared on."""

import copy
import json
import logging

import numpy as np
import pytest

from .metric_cases import make_annotations
from .record_cases import SIDE, corners


@pytest.fixture(scope='session')
def lvis_api(tmp_path_factory):
    """Function (annotations, detections, iou_type, max_dets) -> lvis-api's evaluated LVISEval."""
    lvis = pytest.importorskip('lvis')
    folder = tmp_path_factory.mktemp('oracle')
    patch = pytest.MonkeyPatch()
    patch.setattr(np, 'float', float, raising=False)  # lvis 0.5.3 needs numpy < 1.24
    logging.getLogger('lvis').setLevel(logging.ERROR)

    def evaluate(annotations, detections, iou_type='bbox', max_dets=300):
        path = folder / 'annotations.json'
        path.write_text(json.dumps(annotations))
        truth = lvis.LVIS(str(path))
        results = lvis.LVISResults(truth, copy.deepcopy(detections), max_dets=max_dets)
        evaluation = lvis.LVISEval(truth, results, iou_type)
        evaluation.run()
        return evaluation

    yield evaluate
    patch.undo()


@pytest.fixture(scope='session')
def lvis_annotations(lvis_file):
    return json.loads(lvis_file.read_text())


@pytest.fixture(scope='session')
def lvis_detections(lvis_annotations):
    """Function (iou_type, seed, per_image) -> jittered, mislabelled, repeated, tied detections."""

    def make(iou_type, seed=0, per_image=320):
        rng = np.random.default_rng(seed)
        category_ids = [c['id'] for c in lvis_annotations['categories']]
        by_image = {image['id']: [] for image in lvis_annotations['images']}
        for annotation in lvis_annotations['annotations']:
            by_image[annotation['image_id']].append(annotation)
        detections = []
        for image in lvis_annotations['images']:
            annotations = by_image[image['id']]
            verified = image['neg_category_ids'] + image['not_exhaustive_category_ids']
            for _ in range(per_image if annotations else 0):
                annotation = annotations[rng.integers(len(annotations))]
                label = annotation['category_id']
                if rng.random() < 0.3:
                    label = rng.choice(verified or category_ids)
                elif rng.random() < 0.1:
                    label = rng.choice(category_ids)
                noise = rng.choice([0, 1, 5])
                detection = {
                    'image_id': image['id'],
                    'category_id': int(label),
                    'score': round(float(rng.random()), int(rng.choice([1, 2, 8]))),
                }
                if iou_type == 'segm':
                    detection['segmentation'] = [
                        (np.array(polygon) + rng.normal(0, noise, len(polygon))).tolist()
                        for polygon in annotation['segmentation']
                    ]
                box = np.array(annotation['bbox']) + rng.normal(0, noise, 4)
                detection['bbox'] = np.maximum(box, [-np.inf, -np.inf, 0, 0]).tolist()
                detections.append(detection)
        rng.shuffle(detections)
        return detections

    return make


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


@pytest.fixture
def annotations():
    return make_annotations()


@pytest.fixture
def ann_file(tmp_path, annotations):
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(annotations))
    return str(path)
