"""The statistics of an inspection, and what it advises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lt_det.formats.annotation_columns import read_columns
from lt_det.inspection.advice import MEASURED, Advice, advise
from lt_det.inspection.annotations import has_masks
from lt_det.inspection.classes import ClassSummary, propose_bounds, summarize
from tests.test_inspection.defects import SQUARE

RESULTS = Path(__file__).resolve().parents[2] / 'benchmarks' / 'results' / 'methods_detection.json'


def with_counts(*counts: int, masks: bool = True) -> dict:
    """Class k, of id k + 1, on the first counts[k] images, twice on the first of them."""
    images = [
        dict(id=i, width=100, height=80, file_name=f'{i}.png') for i in range(max(counts) or 1)
    ]
    pairs = [(i, k) for k, n in enumerate(counts) for i in [*range(n), *([0] if n else [])]]
    annotations = [
        dict(id=row, image_id=i, category_id=k + 1, bbox=[10, 10, 30, 20], area=600)
        for row, (i, k) in enumerate(pairs, 1)
    ]
    for annotation in annotations if masks else ():
        annotation['segmentation'] = [SQUARE]
    categories = [dict(id=k + 1, name=f'class {k}') for k in range(len(counts))]
    return dict(images=images, annotations=annotations, categories=categories)


def summary_of(*counts: int) -> ClassSummary:
    return summarize(read_columns(with_counts(*counts)))


def advice_of(*counts: int, masks: bool = True, **kwargs) -> Advice:
    files = {'train': 'my train.json', 'val': None, 'folders': {'--images': None}, **kwargs}
    return advise(summary_of(*counts), masks, **files)


def test_statistics_by_hand():
    found = summary_of(200, 100, 11, 10, 0, 2)
    assert (found.num_classes, found.num_images, found.without_images) == (6, 200, 1)
    assert found.num_annotations == found.num_instances == found.with_masks == 328
    assert (found.imbalance_images, found.imbalance_instances) == (100, 67)
    assert found.median_images == 11
    assert found.groups == {'rare': 2, 'common': 2, 'frequent': 1}
    assert found.proposed_bounds is None
    assert found.rarest[:2] == [
        {'name': 'class 5', 'images': 2, 'instances': 3},
        {'name': 'class 3', 'images': 10, 'instances': 11},
    ]
    assert [row['name'] for row in found.largest] == ['class 0', 'class 1', 'class 2']


def test_no_class_has_an_image():
    content = with_counts(0, 0)
    found = summarize(read_columns(content))
    assert found.imbalance_images is found.median_images is found.proposed_bounds is None
    assert (found.without_images, found.rarest) == (2, [])


@pytest.mark.parametrize(
    ('counts', 'bounds', 'groups'),
    [
        ((1, 2, 3, 4, 5, 6), (2, 4), (2, 2, 2)),
        ((1, 1, 1, 1, 5, 6), (1, 5), (4, 1, 1)),
        ((1, 5, 9, 9, 9, 9), (1, 5), (1, 1, 4)),
        ((101, 120, 150), (101, 120), (1, 1, 1)),
        ((7, 7, 8), None, None),
    ],
)
def test_bounds_where_those_of_lvis_make_one_group(counts, bounds, groups):
    found = summary_of(*counts)
    assert found.proposed_bounds == bounds == propose_bounds(np.array(counts))
    if bounds:
        assert tuple(found.proposed_groups.values()) == groups
        advice = advice_of(*counts)
        assert advice.bounds == bounds
        assert f'--bounds {bounds[0]} {bounds[1]} --out' in advice.command


def test_proposed_bounds_rise_and_leave_no_group_empty():
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(1, rng.integers(2, 40), rng.integers(1, 30))
        bounds = propose_bounds(counts)
        assert (bounds is None) == (len(np.unique(counts)) < 3)
        if bounds:
            groups = np.searchsorted(bounds, counts)
            assert np.bincount(groups, minlength=3).min() > 0


def test_the_method_depends_on_the_imbalance():
    mild = advice_of(40, 10)
    assert (mild.method, mild.sampling) == ('softmax', 'default')
    assert 'nothing is to be gained' in mild.reasons[0]
    assert not re.search(r'\d\.\d{3}', ' '.join(mild.reasons))
    steep = advice_of(200, 40, 4)
    assert steep.method == 'iif'
    assert steep.repeat_threshold == 0.5  # 100 of 200 images
    assert 'oversample_thr=0.5' in ' '.join(steep.reasons)
    assert advice_of(150, 120).repeat_threshold is None
    assert advice_of(60, 10, 1).repeat_threshold == 1  # as lt_det init sets it


def test_the_next_command():
    assert advice_of(200, 40, 4).command == (
        "lt_det init 'my train.json' VAL.json --images IMAGES --model mask_rcnn_r50 --method iif "
        '--out config.py'
    )
    folders = {'--images': 'c', '--val-images': 'd'}
    boxes = advice_of(40, 11, 9, masks=False, train='a.json', val='b.json', folders=folders)
    assert boxes.command == (
        'lt_det init a.json b.json --images c --val-images d --model faster_rcnn_r50 '
        '--method softmax --out config.py'
    )


def test_masks_are_those_of_most_annotations():
    content = with_counts(5, 5)
    for annotation in content['annotations'][:7]:
        del annotation['segmentation']
    assert not has_masks(read_columns(content))
    content['annotations'][0]['segmentation'] = [SQUARE]
    assert has_masks(read_columns(content))


def test_methods_and_models_are_those_of_the_command(tmp_path):
    from lt_det.cli import init, methods

    for advice in (advice_of(200, 4), advice_of(40, 20), advice_of(200, 4, masks=False)):
        assert advice.method in methods.METHODS
        assert advice.model in init.models()


def test_every_number_is_in_the_results():
    rows = json.loads(RESULTS.read_bytes())['rows']
    for method, numbers in MEASURED.items():
        metrics = [row['metrics'] for row in rows if row['method'] == method]
        assert len(metrics) >= 3
        means = [np.mean([m[key] for m in metrics]) for key in ('segm_AP', 'segm_APr')]
        assert np.round(means, 3).tolist() == list(numbers)
    reasons = ' '.join(advice_of(200, 40, 4, masks=False).reasons)
    said = {float(number) for number in re.findall(r'\b0\.\d{3}\b', reasons)} - {0.001}
    assert said == {number for numbers in MEASURED.values() for number in numbers}
