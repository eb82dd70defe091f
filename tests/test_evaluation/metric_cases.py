"""Annotations and predictions that the metric is tried on."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

NAMES = ('ant', 'bee', 'cat', 'dog')


HEIGHT, WIDTH = 48, 64


NUM_IMAGES = 9


def make_annotations(seed=0):
    """Nine images of four categories with ids 2, 4, 6, 8, of which 'dog' has no annotation."""
    rng = np.random.default_rng(seed)
    annotations = []
    for image_id in range(1, NUM_IMAGES):
        for _ in range(rng.integers(1, 6)):
            x, y, w, h = (int(v) for v in rng.integers([0, 0, 6, 6], [40, 30, 24, 18]))
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': int(rng.choice([2, 4, 6])),
                    'bbox': [x, y, w, h],
                    'area': float(w * h),
                    'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
    return {
        'images': [
            {
                'id': i,
                'height': HEIGHT,
                'width': WIDTH,
                'neg_category_ids': [8] if i % 2 else [2],
                'not_exhaustive_category_ids': [4] if i % 3 == 0 else [],
            }
            for i in range(NUM_IMAGES, 0, -1)
        ],
        'categories': [
            {'id': 2 * i + 2, 'name': n, 'frequency': f, 'image_count': i, 'instance_count': 2 * i}
            for i, (n, f) in enumerate(zip(NAMES, 'rccf'))
        ],
        'annotations': annotations,
    }


def make_samples(annotations, seed=1, per_image=12):
    """Predictions with jittered boxes, tied scores and boxes as masks; none on the last image."""
    rng = np.random.default_rng(seed)
    samples = []
    for image in annotations['images']:
        boxes = [a['bbox'] for a in annotations['annotations'] if a['image_id'] == image['id']]
        number = per_image if boxes else 0
        chosen = np.array([boxes[i % len(boxes)] for i in range(number)]).reshape(-1, 4)
        chosen[:, 2:] += chosen[:, :2]
        chosen = (chosen + rng.integers(-2, 3, chosen.shape)).astype(np.float32)
        chosen = np.maximum(chosen, 0)
        masks = np.zeros((number, HEIGHT, WIDTH), dtype=bool)
        for mask, (x1, y1, x2, y2) in zip(masks, chosen.astype(int)):
            mask[y1:y2, x1:x2] = True
        instances = InstanceData(
            bboxes=torch.from_numpy(chosen + np.float32(0.1)),
            scores=torch.from_numpy(rng.choice([0.1, 0.3, 0.7, 0.9], number).astype(np.float32)),
            labels=torch.from_numpy(rng.integers(0, 4, number)),
            masks=torch.from_numpy(masks),
        )
        samples.append({'img_id': image['id'], 'pred_instances': instances})
    return samples


def to_records(samples, iou_type):
    """The predictions as a result json holds them."""
    records = []
    for sample in samples:
        instances = sample['pred_instances']
        for i in range(len(instances)):
            x1, y1, x2, y2 = instances.bboxes[i].tolist()
            record = {
                'image_id': sample['img_id'],
                'category_id': 2 * int(instances.labels[i]) + 2,
                'score': instances.scores[i].item(),
            }
            if iou_type == 'bbox':
                record['bbox'] = [x1, y1, x2 - x1, y2 - y1]
            else:
                mask = instances.masks[i].numpy().astype(np.uint8)
                record['segmentation'] = mask_utils.encode(np.asfortranarray(mask))
            records.append(record)
    return records


def run(metric, samples, batch_size=1):
    metric.dataset_meta = {'classes': NAMES}
    for start in range(0, len(samples), batch_size):
        metric.process(None, samples[start : start + batch_size])
    return metric.evaluate(len(samples))


def assert_same_arrays(metric_a, metric_b):
    for iou_type in metric_a.evaluators:
        a, b = metric_a.evaluators[iou_type], metric_b.evaluators[iou_type]
        np.testing.assert_array_equal(a.precision, b.precision)
        np.testing.assert_array_equal(a.recall, b.recall)
