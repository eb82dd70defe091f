"""Small data sets for the tests of lt_det.evaluation.diagnosis."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from lt_det.evaluation.detections import Detections
from lt_det.evaluation.ground_truth import GroundTruth

CATEGORIES = [
    (1, 'lynx', 'r'),
    (2, 'kiwi', 'r'),
    (3, 'lamp', 'c'),
    (4, 'sofa', 'c'),
    (5, 'dog', 'f'),
]
GROUPS = {'all': 'rcf', 'r': 'r', 'c': 'c', 'f': 'f'}
cases = settings(max_examples=40, derandomize=True, deadline=None, database=None)
seeds = st.integers(0, 10_000)
protocols = pytest.mark.parametrize('protocol', ['lvis', 'coco'])


def make_case(seed, protocol, distinct=False):
    """Annotations and detections on a coarse grid: many overlaps, ties and ignored pairs.

    Without ties of scores and overlaps where ``distinct``.
    """
    rng = np.random.default_rng(seed)
    ids = [c[0] for c in CATEGORIES]
    images, annotations, detections = [], [], []
    for number in rng.permutation(5).tolist():
        image = {'id': 10 + number, 'height': 40, 'width': 40}
        boxes = _boxes(rng, rng.integers(0, 5))
        if distinct:
            boxes = boxes + rng.random(boxes.shape)
        labels = rng.choice(ids[:4], len(boxes)).tolist()
        if protocol == 'lvis':
            absent = [c for c in ids if c not in labels]
            image['neg_category_ids'] = [c for c in absent if rng.random() < 0.5]
            image['not_exhaustive_category_ids'] = [c for c in labels if rng.random() < 0.2]
        images.append(image)
        for label, box in zip(labels, boxes.tolist()):
            record = {'id': len(annotations) + 1, 'image_id': image['id'], 'category_id': label}
            record |= {'bbox': box, 'area': box[2] * box[3], 'iscrowd': 0}
            record['segmentation'] = _polygon(box)
            if rng.random() < 0.15:
                record['ignore' if protocol == 'lvis' else 'iscrowd'] = 1
            if record['iscrowd']:
                record['segmentation'] = _crowd(box)
            annotations.append(record)
        for box in [*boxes.tolist() * 3, *_boxes(rng, 4).tolist()]:
            box = (np.array(box) + rng.choice([0, 0, 1, 2], 4)).tolist()
            # a class per box is more often right than not
            label = int(rng.choice([*ids, *labels]))
            score = float(rng.random()) if distinct else int(rng.integers(1, 9)) / 10
            detections.append(
                {'image_id': image['id'], 'category_id': label, 'score': score, 'bbox': box}
            )
    order = rng.permutation(len(detections)).tolist()
    categories = [{'id': i, 'name': name, 'frequency': group} for i, name, group in CATEGORIES]
    truth = {'images': images, 'annotations': annotations, 'categories': categories}
    return truth, [
        {**detections[i], 'segmentation': _polygon(detections[i]['bbox'])} for i in order
    ]


def _boxes(rng, number):
    return np.hstack([rng.integers(0, 5, (number, 2)) * 4, rng.integers(1, 4, (number, 2)) * 5])


def _polygon(box):
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def _crowd(box):
    x, y, w, h = map(int, box)
    mask = np.zeros((40, 40), bool)
    mask[y : y + h, x : x + w] = True
    flat = mask.ravel(order='F').astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    counts = np.diff(edges, prepend=0, append=flat.size)
    return {'size': [40, 40], 'counts': counts.tolist()}


def build(truth, detections, protocol='lvis'):
    """Both as the diagnosis takes them."""
    truth = GroundTruth(truth, protocol)
    columns = [[d[key] for d in detections] for key in ('image_id', 'category_id', 'score', 'bbox')]
    return truth, Detections(
        truth.find_images(np.array(columns[0], np.int64)),
        truth.find_categories(np.array(columns[1], np.int64)),
        np.array(columns[2], float),
        np.array(columns[3], float).reshape(-1, 4),
        [d.get('segmentation') for d in detections],
    )


def engine(truth, detections, iou_type='bbox'):
    """The same in hotcoco, evaluated and accumulated."""
    from hotcoco import COCOeval

    gt = truth.engine(iou_type != 'bbox')
    if truth.protocol == 'lvis':  # lvis-api leaves out what has no area
        detections = detections.take(detections.boxes[:, 2:].prod(1) > 0)
    dt = gt.load_res(detections.array(truth))
    ev = COCOeval(gt, dt, iou_type, lvis_style=truth.protocol == 'lvis')
    ev.evaluate()
    ev.accumulate()
    return ev


def scene(annotations, detections, negative=(), partly=(), protocol='lvis'):
    """One image: annotations (class, box), detections (class, box, score), classes by number."""
    image = {'id': 1, 'height': 100, 'width': 100}
    if protocol == 'lvis':
        image |= {'neg_category_ids': [*negative], 'not_exhaustive_category_ids': [*partly]}
    truth = {
        'images': [image],
        'categories': [{'id': i, 'name': n, 'frequency': g} for i, n, g in CATEGORIES],
        'annotations': [
            {'id': n, 'image_id': 1, 'category_id': c, 'bbox': box, 'area': box[2] * box[3], **more}
            for n, (c, box, *rest) in enumerate(annotations, 1)
            for more in [rest[0] if rest else {}]
        ],
    }
    records = [
        {'image_id': 1, 'category_id': c, 'bbox': box, 'score': s} for c, box, s in detections
    ]
    return build(truth, records, protocol)


def group_of(category):
    return {i: g for i, _, g in CATEGORIES}[category]


def mean(values):
    return sum(values) / len(values) if values else None


def near(value):
    return None if value is None else pytest.approx(value, abs=1e-9)
