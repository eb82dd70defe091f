"""Results of other frameworks: pickles of MMDetection and the predictions file of Detectron2.

A pickle can run any code when it is read. Only tensors, arrays and plain containers are accepted.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import BadInputError, MissingFileError
from ..evaluation.ground_truth import LVISGroundTruth
from ..evaluation.predictions import to_numpy

_ALLOWED = {
    ('_codecs', 'encode'),
    ('collections', 'OrderedDict'),
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    ('torch', 'Size'),
    ('torch._utils', '_rebuild_tensor_v2'),
    *(
        (f'numpy.{core}.{module}', name)
        for core in ('core', '_core')
        for module, name in (
            ('multiarray', '_reconstruct'),
            ('multiarray', 'scalar'),
            ('numeric', '_frombuffer'),
        )
    ),
}


def read_foreign(path: str | os.PathLike, truth: LVISGroundTruth) -> dict[str, list[dict] | dict]:
    """Detections of a file that is no json, by what they hold.

    Read are pickles of MMDetection 3.x (``tools/test.py --out``: a list of data samples with
    pred_instances) and ``instances_predictions.pth`` of Detectron2, whose categories are numbered
    from 0.

    Args:
        path: A file that ends in .pkl, .pickle or .pth.
        truth: Annotations, for the ids of the categories.

    Returns:
        By 'bbox' and, where there are masks, 'segm': detections for ``LVISEvaluator``.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is not one of these files.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f'result file not found: {path}')
    try:
        if path.suffix == '.pth':
            content = torch.load(path, map_location='cpu', weights_only=True)
        else:
            with path.open('rb') as file:
                content = _Unpickler(file, path).load()
    except (pickle.UnpicklingError, EOFError, RuntimeError, AttributeError, IndexError) as error:
        raise BadInputError(f'{path}: not a result file that can be read: {error}') from None
    convert = _converter(content)
    if convert is None:
        raise BadInputError(
            f"{path}: expected a list of samples with 'img_id' and 'pred_instances' (MMDetection), "
            "or with 'image_id' and 'instances' (Detectron2)"
        )
    try:
        return convert(content, truth.category_ids)
    except (KeyError, IndexError, TypeError) as error:
        raise BadInputError(f'{path}: a sample lacks or has an unknown {error}') from None


def _converter(content: Any) -> Callable | None:
    if not isinstance(content, list) or not content:
        return None
    if all(isinstance(s, dict) and {'img_id', 'pred_instances'} <= s.keys() for s in content):
        return _from_mmdetection
    if all(isinstance(s, dict) and {'image_id', 'instances'} <= s.keys() for s in content):
        return _from_detectron2
    return None


def _from_mmdetection(samples: list[dict], category_ids: np.ndarray) -> dict[str, dict]:
    columns: dict[str, list] = {name: [] for name in ('image_id', 'category_id', 'score', 'bbox')}
    mask_scores, masks = [], []
    for sample in samples:
        instances = sample['pred_instances']
        scores = to_numpy(instances['scores'])
        boxes = to_numpy(instances['bboxes']).astype(np.float64).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        columns['image_id'].append(np.full(len(scores), sample['img_id'], dtype=np.int64))
        columns['category_id'].append(category_ids[to_numpy(instances['labels'])])
        columns['score'].append(scores)
        columns['bbox'].append(boxes)
        mask_scores.append(to_numpy(instances.get('mask_scores', scores)))
        masks.extend(instances.get('masks', ()))
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    results = {'bbox': joined}
    if masks:
        results['segm'] = {
            'image_id': joined['image_id'],
            'category_id': joined['category_id'],
            'score': np.concatenate(mask_scores),
            'segmentation': masks,
        }
    return results


def _from_detectron2(samples: list[dict], category_ids: np.ndarray) -> dict[str, list[dict]]:
    records = [
        {**record, 'category_id': int(category_ids[record['category_id']])}
        for sample in samples
        for record in sample['instances']
    ]
    results = {'bbox': records}
    if records and 'segmentation' in records[0]:
        # Detectron2 evaluates masks without boxes, so that areas are those of the masks.
        results['segm'] = [{k: v for k, v in r.items() if k != 'bbox'} for r in records]
    return results


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedReader, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return _load_storage
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise BadInputError(
            f'{self._path}: holds {module}.{name}, which is no part of a result file; not loaded'
        )


def _load_storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)
