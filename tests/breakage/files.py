"""Good files of every kind that is read, small."""

from __future__ import annotations

import io
import json
import pickle
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

WORDS = ['red', 'green', 'blue', 'dark sky']
NAMES = ['cat', 'dog', 'kiwi', 'lamp']
POLYGON = [[10.0, 10.0, 40.0, 10.0, 40.0, 30.0, 10.0, 30.0]]


def annotations(federated: bool = True) -> dict:
    """Three images, four categories, seven annotations."""
    content = {
        'info': {'year': 2026, 'more': [1, {'a': [None]}]},
        'licenses': [{'id': 1, 'name': 'x'}],
        'images': [],
        'annotations': [],
        'categories': [
            {'id': i, 'name': name, 'synonyms': [name], 'image_count': 3 * i, 'instance_count': 9}
            for i, name in enumerate(NAMES, 1)
        ],
    }
    for i in (1, 2, 3):
        image = {'id': i, 'width': 100, 'height': 80, 'file_name': f'{i}.png', 'license': 1}
        image['coco_url'] = f'http://a.org/train2017/{i}.png'
        if federated:
            image |= {'neg_category_ids': [4], 'not_exhaustive_category_ids': [3] * (i == 2)}
        content['images'].append(image)
    for number, (image, category) in enumerate(
        [(1, 1), (1, 2), (2, 1), (2, 3), (3, 1), (3, 2), (3, 2)], 1
    ):
        box = [10 + number, 10.5, 30, 20.25]
        record = {'id': number, 'image_id': image, 'category_id': category, 'bbox': box}
        record |= {'area': 600.5, 'iscrowd': 0, 'segmentation': POLYGON}
        if number == 5:
            record['segmentation'] = {'size': [80, 100], 'counts': [3000, 600, 4400]}
        if number == 6:
            record['segmentation'] = code()
        content['annotations'].append(record)
    if federated:
        for category, group in zip(content['categories'], 'rccf'):
            category['frequency'] = group
    return content


def code() -> dict:
    """A run-length code as text, as pycocotools writes it."""
    from lt_det.formats.segmentations import to_rle

    found = to_rle({'size': [80, 100], 'counts': [3000, 600, 4400]}, 80, 100)
    counts = found['counts']
    return {**found, 'counts': counts.decode() if isinstance(counts, bytes) else counts}


def results(masks: bool = False) -> list[dict]:
    """Eight detections, most of them right."""
    found = []
    for number, record in enumerate(
        annotations()['annotations'] + annotations()['annotations'][:1]
    ):
        record = {key: record[key] for key in ('image_id', 'category_id', 'bbox')}
        record['score'] = 0.9 - number / 10
        if masks:
            record |= {'segmentation': {'size': [80, 100], 'counts': [800, 300, 6900]}}
            del record['bbox']
        found.append(record)
    return found


def results_with_codes() -> list[dict]:
    return [{**record, 'segmentation': code()} for record in results(True)]


def image_predictions() -> list[dict]:
    """Predictions by image, with names of classes."""
    detections = [
        {
            'class': NAMES[record['category_id'] - 1],
            'score': record['score'],
            'bbox': record['bbox'],
        }
        for record in results()[:3]
    ]
    return [
        {
            'file': f'some/{i}.png',
            'height': 80,
            'width': 100,
            'detections': [dict(d) for d in detections[:i]],
        }
        for i in (1, 2, 3)
    ]


def proposals() -> dict:
    box = np.arange(8.0).reshape(2, 4)
    return {f'{i}.png': {'bboxes': box, 'scores': np.ones(2)} for i in (1, 2, 3)}


def mmdetection_samples() -> list[dict]:
    instances = {
        'scores': torch.tensor([0.9, 0.5]),
        'labels': torch.tensor([0, 2]),
        'bboxes': torch.tensor([[10.0, 10, 40, 30], [11, 10, 41, 31]]),
    }
    return [{'img_id': i, 'ori_shape': (80, 100), 'pred_instances': instances} for i in (1, 2)]


def detectron2_samples() -> list[dict]:
    records = [{**record, 'category_id': record['category_id'] - 1} for record in results()]
    return [
        {'image_id': i, 'instances': [record for record in records if record['image_id'] == i]}
        for i in (1, 2, 3)
    ]


def checkpoint() -> dict:
    """As MMEngine writes it, of a head with four classes."""
    return {
        'meta': {'epoch': 1, 'iter': 10, 'dataset_meta': {'classes': NAMES}, 'CLASSES': NAMES},
        'state_dict': {
            'roi_head.bbox_head.fc_cls.weight': torch.arange(20.0).reshape(5, 4),
            'roi_head.bbox_head.fc_cls.bias': torch.arange(5.0),
        },
        'message_hub': {'log_scalars': {}, 'runtime_info': {'iter': np.int64(10)}},
        'optimizer': {'state': {}, 'param_groups': [{'lr': 0.1}]},
    }


def torch_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def pickle_bytes(content: object) -> bytes:
    return pickle.dumps(content)


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@cache
def image(ending: str) -> bytes:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (40, 30))
    return cv2.imencode(ending, picture)[1].tobytes()


def list_file() -> str:
    return ''.join(f'train/a b/{i}.jpg {i % 4}\n' for i in range(8))


def word_file() -> str:
    rows = [('a/1.jpg', WORDS[:2]), ('a/2.jpg', WORDS[3:]), ('a/3.jpg', []), ('b/1.jpg', WORDS)]
    return ''.join('\t'.join([name, *words]) + '\n' for name, words in rows)


def word_vectors() -> str:
    rows = ['red', 'the', 'green', 'blue', 'sky', 'dark']
    return ''.join(f'{word} {i} {i / 2} -{i}.5\n' for i, word in enumerate(rows, 1))


def lines(words: list[str]) -> str:
    return ''.join(f'{word}\n' for word in words)


def classified() -> dict[str, np.ndarray]:
    """Predictions of a classifier."""
    label = np.arange(12) % 4
    return {
        'label': label,
        'predicted': np.where(np.arange(12) < 8, label, 0),
        'confidence': np.linspace(0.3, 0.9, 12),
        'image': np.array([f'{i}.jpg' for i in range(12)]),
        'name': np.array(NAMES),
        'group': np.array(['few', 'few', 'medium', 'many']),
        'train_images': np.array([2, 5, 50, 500]),
        'num_bins': np.array(15),
    }


def detector_run(folder: Path) -> None:
    """A work dir: annotations, detections, metrics, note."""
    from lt_det.evaluation import LVISEvaluator
    from lt_det.evaluation.kept_detections import write_kept

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'truth.json'
    path.write_text(json.dumps(annotations()))
    evaluators = {t: LVISEvaluator(str(path), t) for t in ('bbox', 'segm')}
    metrics, detections = {}, {}
    for iou_type, evaluator in evaluators.items():
        records = results(iou_type == 'segm')
        if iou_type == 'segm':
            from lt_det.formats.segmentations import to_rle

            for record in records:
                record['segmentation'] = to_rle(record['segmentation'], 80, 100)
        detections[iou_type] = evaluator.read(records)
        for key, value in evaluator.evaluate(detections[iou_type]).items():
            metrics[f'{iou_type}_{key}'] = value
    truth = evaluators['bbox'].truth
    write_kept(folder / 'predictions.npz', truth, np.ones(3, bool), np.ones(4, bool), detections)
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    (folder / 'run.json').write_text(json.dumps(run_note('detector', str(path))))
    (folder / '1' / 'vis_data').mkdir(parents=True, exist_ok=True)
    (folder / '1' / 'vis_data' / 'scalars.json').write_text(scalars())


def classifier_run(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'predictions.npz').write_bytes(npz_bytes(classified()))
    metrics = {'top1': 75.0, 'macro': 75.0, 'few': 90.0, 'medium': 60.0, 'many': 70.0}
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    (folder / 'run.json').write_text(json.dumps(run_note('classifier', None)))


def run_note(kind: str, ann_file: str | None) -> dict:
    return {
        'format': 1,
        'kind': kind,
        'ann_file': ann_file,
        'images': 'pictures',
        'train_ann_file': ann_file,
        'protocol': 'lvis' if ann_file else 'auto',
        'bounds': None,
        'max_dets': 300 if ann_file else None,
        'outfile_prefix': None,
        'config': 'somewhere/model.py',
        'checkpoint': {'file': 'epoch_1.pth', 'sha256': 'ab' * 32},
        'versions': {'lt_det': '0'},
        'date': '2026-01-02T03:04:05+00:00',
        'command': 'lt_det test model.py epoch_1.pth',
    }


def scalars() -> str:
    rows = [{'loss': 2.5 - i / 10, 'lr': 0.1, 'step': i, 'iter': i} for i in range(1, 6)]
    rows.append({'coco/bbox_AP': 0.25, 'bbox_APr': -1.0, 'step': 5})
    return ''.join(json.dumps(row) + '\n' for row in rows)


CONFIG = """\
default_scope = 'mmdet'
model = dict(type='LongTail', detector='RTMDet', adjustment=dict(type='IIF', link='raw'))
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(type='LongTailLVISDataset', ann_file='a.json'))
train_cfg = dict(by_epoch=True, max_epochs=1)
val_evaluator = dict(type='LongTailLVISMetric', ann_file='a.json')
custom_hooks = [dict(type='ClassFrequencyHook')]
work_dir = None
"""
