"""Small work dirs for the tests of lt_det.report.page."""

import json

import cv2
import numpy as np

from lt_det.evaluation import LVISEvaluator
from lt_det.evaluation.ground_truth import GroundTruth

from ..breakage.files import run_note
from ..test_evaluation.diagnosis_cases import make_case

HOSTILE = [
    '</script><b>',
    '"quotes\' & $<',
    '\u202eright to left',
    'a\nb\t\\u003c',
    '\u00e9\U0001f600',
]


def write_run(folder, seed=0, protocol='lvis', masks=True, shift=0, names=None, **note):
    """A work dir with result files; returns the truth as a dict and evaluators by IoU type.

    ``shift`` makes another model of the same data: its scores are others.
    """
    truth, detections = make_case(seed, protocol)
    for category, name in zip(truth['categories'], names or ()):
        category['name'] = name
    for category in truth['categories']:
        category |= {'image_count': 7 * category['id'], 'instance_count': 9 * category['id']}
    rng = np.random.default_rng(seed + shift)
    folder.mkdir(parents=True)
    pictures = folder.parent / 'pictures'
    pictures.mkdir(exist_ok=True)
    for image in truth['images']:
        image['file_name'] = f'{image["id"]}.png'
        cv2.imwrite(
            str(pictures / image['file_name']), rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
        )
    path = folder.parent / 'truth.json'
    path.write_text(json.dumps(truth))
    if shift:
        detections = [{**d, 'score': float(rng.random())} for d in detections]
    boxes = [{k: v for k, v in d.items() if k != 'segmentation'} for d in detections]
    records = {'bbox': boxes}
    if masks:
        records['segm'] = [{k: v for k, v in d.items() if k != 'bbox'} for d in detections]
    evaluators, metrics = {}, {}
    for iou_type, found in records.items():
        (folder / f'results.{iou_type}.json').write_text(json.dumps(found))
        evaluators[iou_type] = LVISEvaluator(GroundTruth(str(path), protocol), iou_type)
        values = evaluators[iou_type].evaluate(found)
        metrics |= {f'{iou_type}_{key}': value for key, value in values.items()}
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    content = run_note('detector', str(path))
    content |= {'images': str(pictures), 'train_ann_file': None, 'protocol': protocol}
    content |= {'max_dets': None, **note}
    (folder / 'run.json').write_text(json.dumps(content))
    return metrics, evaluators, records
