"""Results of other frameworks: pickles of MMDetection and the predictions file of Detectron2.

A pickle can run any code when it is read: see :mod:`restricted_pickle` for what is accepted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import BadInputError, MissingFileError
from .annotation_records import whole
from .restricted_pickle import in_line, read_pickle


def read_foreign(
    path: str | os.PathLike, classes: Sequence[str], ids: Mapping[str, int]
) -> dict[str, list[dict] | dict]:
    """Detections of a file that is no json, by what they hold.

    Read are pickles of MMDetection 3.x (``tools/test.py --out``: a list of data samples with
    pred_instances) and ``instances_predictions.pth`` of Detectron2. Both number the classes from 0
    and do not name them.

    Args:
        path: A file that ends in .pkl, .pickle or .pth.
        classes: Name of each number, in the order of the model.
        ids: Category id of each name.

    Returns:
        By 'bbox' and, where there are masks, 'segm': detections for ``LVISEvaluator``.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It is not one of these files, a name is no category, or a number has no name.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f'result file not found: {path}')
    unknown = [name for name in classes if name not in ids]
    if unknown:
        raise BadInputError(f'classes of {path}: {unknown[0]!r} is no category of the annotations')
    content = _load(path)
    convert = _converter(content)
    if convert is None:
        raise BadInputError(
            f"{path}: expected a list of samples with 'img_id' and 'pred_instances' (MMDetection), "
            "or with 'image_id' and 'instances' (Detectron2)"
        )
    category_ids = np.array([ids[name] for name in classes], np.int64)
    try:
        return convert(content, _Numbering(path, category_ids))
    except BadInputError:
        raise
    except KeyError as error:
        raise BadInputError(f'{path}: a sample lacks or has an unknown {error}') from None
    except (
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise BadInputError(f'{path}: a sample cannot be used: {in_line(error)}') from None


def _load(path: Path) -> Any:
    if path.suffix != '.pth':
        return read_pickle(path, what='a result file')
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except (Exception, MemoryError) as error:  # bytes that are none raise what they happen to
        raise BadInputError(
            f'{path}: not a result file that can be read: {in_line(error)}'
        ) from None


class _Numbering:
    """Category ids of class numbers, which must have one."""

    def __init__(self, path: Path, category_ids: np.ndarray) -> None:
        self.path, self.category_ids = path, category_ids

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        known = len(self.category_ids)
        if labels.size and not 0 <= labels.min() <= labels.max() < known:
            raise BadInputError(
                f'{self.path}: labels reach from {labels.min()} to {labels.max()}, but there are '
                f'{known} classes'
            )
        return self.category_ids[labels]


def _converter(content: Any) -> Callable | None:
    if not isinstance(content, list) or not content:
        return None
    if all(isinstance(s, dict) and {'img_id', 'pred_instances'} <= s.keys() for s in content):
        return _from_mmdetection
    if all(isinstance(s, dict) and {'image_id', 'instances'} <= s.keys() for s in content):
        return _from_detectron2
    return None


def _from_mmdetection(samples: list[dict], category_ids: _Numbering) -> dict[str, dict]:
    columns: dict[str, list] = {name: [] for name in ('image_id', 'category_id', 'score', 'bbox')}
    mask_scores, masks = [], []
    for number, sample in enumerate(samples):
        instances = sample['pred_instances']
        _check_lengths(instances, number)
        scores = np.asarray(instances['scores'])
        boxes = _float(instances['bboxes']).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        columns['image_id'].append(np.full(len(scores), _id(sample, number)))
        columns['category_id'].append(category_ids(np.asarray(instances['labels'])))
        columns['score'].append(scores)
        columns['bbox'].append(boxes)
        mask_scores.append(np.asarray(instances.get('mask_scores', scores)))
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


def _check_lengths(instances: Mapping, number: int) -> None:
    """Refuse a sample of which a part is longer than another; later ones would be misread."""
    keys = ('scores', 'labels', 'bboxes', 'mask_scores', 'masks')
    lengths = {key: len(instances[key]) for key in keys if instances.get(key) is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f'number {number} has not as many of each: {lengths}')


def _id(sample: dict, number: int) -> int:
    value = sample['img_id']
    found = whole(value.item() if hasattr(value, 'item') else value)
    if found is None:
        raise ValueError(f'number {number} has img_id {value!r}, expected an integer')
    return found


def _float(values: Any) -> np.ndarray:
    """Numbers as float64; those with an imaginary part are none."""
    return np.asarray(values).astype(np.float64, casting='safe')


def _from_detectron2(samples: list[dict], category_ids: _Numbering) -> dict[str, list[dict]]:
    records = [record for sample in samples for record in sample['instances']]
    ids = category_ids(np.array([record['category_id'] for record in records], np.int64))
    records = [{**r, 'category_id': i} for r, i in zip(records, ids.tolist())]
    results = {'bbox': records}
    if any('segmentation' in record for record in records):
        # Detectron2 evaluates masks without boxes, so that areas are those of the masks.
        results['segm'] = [
            {k: v for k, v in r.items() if k != 'bbox'} if 'segmentation' in r else r
            for r in records
        ]
    return results
