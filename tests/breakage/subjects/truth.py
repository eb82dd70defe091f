"""Annotation files, and the cache of their columns."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from .. import documented, files
from ..breaking import Broken, broken_bytes, broken_json
from ..documented import REFUSED
from .outcome import Subject, agree, expected, outcome


def columns_as_records(columns: Any) -> dict:
    arrays = columns.arrays
    starts = arrays['annotation_start']
    image = np.repeat(arrays['image_id'], np.diff(starts)).tolist()
    ids = [category['id'] for category in columns.categories]
    rows = zip(
        image,
        [ids[number] for number in arrays['category'].tolist()],
        arrays['bbox'].tolist(),
        arrays['area'].tolist(),
        arrays['ignore'].tolist(),
        arrays['crowd'].tolist(),
    )
    images = zip(arrays['image_id'].tolist(), arrays['image_size'].tolist())
    names = [columns.image_names(number) for number in range(columns.num_images)]
    counts = [arrays[f'{kind}_count'].tolist() for kind in ('image', 'instance')]
    return {
        'images': [(*image, *name) for image, name in zip(images, names)],
        'categories': list(zip(ids, columns.category_names)),
        'annotations': dict(zip(arrays['annotation_id'].tolist(), map(list, rows))),
        'counts': counts,
    }


def content_as_records(content: dict) -> dict:
    images = [
        (i['id'], [i['height'], i['width']], i['file_name'], i['coco_url'])
        for i in content['images']
    ]
    keys = ('image_id', 'category_id', 'bbox', 'area', 'ignore', 'iscrowd')
    return {
        'images': images,
        'categories': [(c['id'], c['name']) for c in content['categories']],
        'annotations': {r['id']: [r[key] for key in keys] for r in content.get('annotations', ())},
        'counts': list(documented.counts(content)),
    }


def check_annotations(folder: Path, data: bytes) -> None:
    from lt_det.formats.annotation_columns import read_columns
    from lt_det.frequency import ClassFrequency
    from lt_det.inspection import inspect_files
    from lt_det.inspection.text import format_inspection

    path = folder / 'truth.json'
    path.write_bytes(data)
    content = expected(documented.annotations, data)
    wanted = content if content == REFUSED else content_as_records(content)
    columns = outcome(read_columns, path)
    if columns == REFUSED and documented.has_section_twice(data):
        return  # which may be for the first of the two
    found = columns if columns == REFUSED else columns_as_records(columns)
    agree(found, wanted, 'read_columns of the file')
    try:
        loaded = json.loads(data)
    except (ValueError, RecursionError):
        loaded = None
    if isinstance(loaded, dict):
        columns = outcome(read_columns, loaded)
        found = columns if columns == REFUSED else columns_as_records(columns)
        agree(found, wanted, 'read_columns of the dict')
    without = content != REFUSED and 'annotations' not in content
    counts = outcome(ClassFrequency.from_annotation_file, path)
    if counts != REFUSED:
        counts = [counts.image_count.tolist(), counts.instance_count.tolist()]
    agree(counts, REFUSED if content == REFUSED or without else wanted['counts'], 'statistics')
    check_training(path, content, without)
    check_evaluation(path, content)
    found = inspect_files(path, path)
    assert (content == REFUSED) <= (found.status == 1), 'inspect says nothing of a refused file'
    json.dumps(found.as_dict())
    assert format_inspection(found)


def check_training(path: Path, content: Any, without: bool) -> None:
    from lt_det.datasets import LongTailLVISDataset

    def train() -> list[list]:
        dataset = LongTailLVISDataset(ann_file=str(path), pipeline=[], check_images=False)
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        return [
            [i['bbox_label'] for i in item['instances'] if not i['ignore_flag']] for item in items
        ]

    found = outcome(train)
    if content == REFUSED or without:
        agree(found, REFUSED, 'training')
    elif found != REFUSED:  # which it may for names of images
        numbers = np.bincount([label for labels in found for label in labels] or [], minlength=1)
        wanted = documented.counts(content)[1]
        agree(numbers.sum(), sum(wanted), 'objects in training')


def check_evaluation(path: Path, content: Any) -> None:
    from lt_det.evaluation import LVISEvaluator

    def evaluate(source: Any, iou_type: str) -> dict:
        detections = files.results(masks=iou_type == 'segm')
        evaluator = LVISEvaluator(source, iou_type, skip_invalid=True)
        metrics = evaluator.evaluate(detections)
        return {**metrics, 'skipped': dict(evaluator.skipped)}

    for iou_type in ('bbox', 'segm'):
        found = outcome(evaluate, str(path), iou_type)
        if content == REFUSED:
            agree(found, REFUSED, f'evaluation of {iou_type}')
        elif found != REFUSED:
            agree(found, outcome(evaluate, content, iou_type), f'evaluation of {iou_type}')


@contextmanager
def any_size_cached() -> Iterator[None]:
    """Small files have a cache too."""
    from lt_det.formats import annotation_cache

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotation_cache, 'SMALLEST', 0)
        yield


def check_columns(folder: Path, data: bytes) -> None:
    """A cache of columns of which one file is broken."""
    from lt_det.formats import annotation_cache

    path = folder / 'truth.json'
    path.write_text(json.dumps(files.annotations()))
    with any_size_cached():
        annotation_cache.load_columns(path)
        name, _, content = data.partition(b'\n')
        (annotation_cache.cache_folder(path) / name.decode()).write_bytes(content)
        found = outcome(lambda: columns_as_records(annotation_cache.load_columns(path)))
    wanted = content_as_records(documented.annotations(path.read_bytes()))
    agree(found, wanted, 'columns of a cache')


@cache
def cache_files() -> dict[str, bytes]:
    from lt_det.formats import annotation_cache

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'truth.json')
        path.write_text(json.dumps(files.annotations()))
        with any_size_cached():
            annotation_cache.load_columns(path)
        made = annotation_cache.cache_folder(path)
        return {file.name: file.read_bytes() for file in sorted(made.iterdir())}


@st.composite
def broken_column(draw: Callable) -> Broken:
    name = draw(st.sampled_from(sorted(cache_files())))
    way, how, data = draw(broken_bytes(cache_files()[name]))
    return Broken(way, f'{name}: {how}', name.encode() + b'\n' + data)


SUBJECTS = {
    'LVIS annotations': Subject(broken_json(files.annotations()), check_annotations),
    'COCO annotations': Subject(broken_json(files.annotations(False)), check_annotations),
    'column cache': Subject(broken_column(), check_columns),
}
