"""Segmentations: which are malformed, what is dropped, and that all are looked at."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from lt_det.formats import annotation_cache, annotation_masks
from lt_det.formats.annotation_cache import load_columns
from lt_det.formats.annotation_columns import read_columns
from lt_det.formats.annotation_masks import MALFORMED, NO_MASK
from lt_det.formats.segmentations import is_debris

from .test_annotation_defects import changed, content_of

NAN = float('nan')
GOOD = [10.0, 10.0, 40.0, 10.0, 40.0, 30.0, 10.0, 30.0]
PLANE = np.zeros((80, 100), np.uint8, order='F')
PLANE[10:30, 10:40] = 1
CODE = mask_utils.encode(PLANE)['counts'].decode()
RUNS = [800 + 10, *([20, 60] * 29), 20, 8000 - 810 - 29 * 80 - 20]

MALFORMED_MASKS = {
    'flat numbers': (GOOD, 'polygon is float; expected a list'),
    'one level too deep': ([[[10, 10], [50, 10], [50, 50], [10, 50]]], 'polygon has 4 numbers'),
    'six points too deep': ([[[10, 10]] * 6], 'polygon has a coordinate that is not'),
    'points': ([[10, 10], [50, 10], [50, 50], [10, 50]], 'polygon has 2 numbers; expected at'),
    'text': ('polygon', "segmentation is neither polygons nor a dict with 'size' and 'counts'"),
    'empty text': ('', 'segmentation is neither polygons nor'),
    'number': (0, 'segmentation is neither polygons nor'),
    'false': (False, 'segmentation is neither polygons nor'),
    'texts inside': ([[str(x) for x in GOOD]], 'polygon has a coordinate that is not a finite'),
    'null inside': ([[10, 10, 50, None, 50, 50]], 'polygon has a coordinate that is not a finite'),
    'null beside': ([GOOD, None], 'polygon is NoneType; expected a list'),
    'NaN': ([[10, 10, 50, NAN, 50, 50]], 'polygon has a coordinate that is not a finite'),
    'infinite': ([GOOD, [10, 10, 50, float('inf'), 5, 5]], 'polygon has a coordinate that is'),
    'huge': ([[10, 10, 1e9, 10, 1e9, 50]], 'polygon has the coordinate 1e+09; expected at most'),
    'huge negative': ([GOOD, [10, -100001, 9, 10, 9, 50]], 'the coordinate 100001; expected at'),
    'huge integer': ([[10, 10, 10**400, 10, 9, 50]], 'polygon has a coordinate that is not'),
    'four numbers': ([[10, 10, 10, 50]], 'polygon has 4 numbers; expected at least 3 points'),
    'odd': ([GOOD[:7]], 'polygon has 7 numbers; expected at least 3 points (6, even)'),
    'empty ring': ([[]], 'polygon has 0 numbers'),
    'list of codes': ([dict(size=[80, 100], counts=CODE)], 'polygon is dict; expected a list'),
    'no counts': (dict(size=[80, 100]), "segmentation is neither polygons nor a dict with 'size'"),
    'no size': (dict(counts=CODE), 'segmentation is neither polygons nor a dict'),
    'size turned': (dict(size=[100, 80], counts=CODE), 'RLE size is [100, 80]; expected [height,'),
    'size of texts': (dict(size=['80', '100'], counts=CODE), "RLE size is ['80', '100']; expected"),
    'size null': (dict(size=None, counts=CODE), 'RLE size is None; expected'),
    'counts null': (dict(size=[80, 100], counts=None), 'malformed RLE: counts must be a list of'),
    'counts a number': (dict(size=[80, 100], counts=8000), 'malformed RLE: counts must be a list'),
    'counts of texts': (dict(size=[80, 100], counts=['8000']), 'malformed RLE: runs must be'),
    'counts nested': (dict(size=[80, 100], counts=[[8000]]), 'malformed RLE: runs must be'),
    'counts with null': (dict(size=[80, 100], counts=[7990, None, 10]), 'malformed RLE: runs must'),
    'fractions': (dict(size=[80, 100], counts=[7999.5, 0.5]), 'malformed RLE: runs must be'),
    'no runs': (dict(size=[80, 100], counts=[]), 'malformed RLE: runs cover 0 of 8000 pixels'),
    'negative runs': (dict(size=[80, 100], counts=[8001, -1]), 'malformed RLE: runs must be'),
    'too few': (dict(size=[80, 100], counts=[10, 90]), 'malformed RLE: runs cover 100 of 8000'),
    'too many': (dict(size=[80, 100], counts=[10, 9000]), 'malformed RLE: runs cover 9010 of'),
    'empty code': (dict(size=[80, 100], counts=''), 'malformed RLE: counts must be a list of'),
    'cut off': (dict(size=[80, 100], counts=CODE[: len(CODE) // 2]), 'counts are no code of 8000'),
    'cut in a number': (dict(size=[80, 100], counts=CODE[:1]), 'counts are no code of 8000 pixels'),
    'too long': (dict(size=[80, 100], counts=CODE + '11'), 'counts are no code of 8000 pixels'),
    'foreign': (dict(size=[80, 100], counts='abc{}~'), 'counts are no code of 8000 pixels'),
    'not ASCII': (dict(size=[80, 100], counts=CODE + 'é'), 'counts has characters outside of'),
}
NO_MASKS = {'missing': KeyError, 'null': None, 'empty list': [], 'empty dict': {}}
GOOD_MASKS = {
    'polygon': [GOOD],
    'two': [GOOD, GOOD[:6]],
    'beyond the image': [[-50.0, -50.0, 500.0, -50.0, 500.0, 30.0]],
    'code': dict(size=[80, 100], counts=CODE),
    'runs': dict(size=[80, 100], counts=RUNS),
    'no pixel': dict(size=[80, 100], counts=[8000]),
}


@pytest.fixture(params=['dict', 'file', 'cached'])
def read(request, tmp_path, monkeypatch):
    """Columns of a content in memory, of a file, and of its cache."""

    def columns_of(content: dict):
        if request.param == 'dict':
            return read_columns(content)
        path = tmp_path / 'a.json'
        path.write_text(json.dumps(content))
        if request.param == 'cached':
            monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
            load_columns(path)
        return load_columns(path)

    return columns_of


@pytest.mark.parametrize('name', MALFORMED_MASKS)
def test_malformed_masks(read, name):
    segmentation, message = MALFORMED_MASKS[name]
    columns = read(changed('annotations', segmentation=segmentation))
    assert columns.arrays['mask_problem'].tolist() == [0, MALFORMED, 0, 0, 0, 0]
    described = columns.describe_mask(1)
    assert described.startswith('annotation 2: ')
    assert message in described
    assert '\n' not in described
    assert columns.segmentation(0) == columns.segmentation(2) == [GOOD]


@pytest.mark.parametrize('name', NO_MASKS)
def test_no_mask(read, name):
    columns = read(changed('annotations', segmentation=NO_MASKS[name]))
    assert columns.arrays['mask_problem'].tolist() == [0, NO_MASK, 0, 0, 0, 0]
    assert columns.segmentation(1) is None
    assert columns.describe_mask(1) == (
        'annotation 2: no segmentation (missing, null or empty); expected a mask'
    )


@pytest.mark.parametrize('name', GOOD_MASKS)
def test_good_masks(read, name):
    columns = read(changed('annotations', segmentation=GOOD_MASKS[name]))
    assert not columns.arrays['mask_problem'].any()
    assert columns.segmentation(1) == GOOD_MASKS[name]
    assert columns.remarks == []


@pytest.mark.parametrize(
    'polygons', [[[10, 10, 10, 50], GOOD], [GOOD, [1, 2, 3, 4, 5, 6, 7]], [[], GOOD, [9, 9], GOOD]]
)
def test_debris_beside_a_polygon_is_dropped_and_counted(read, polygons):
    columns = read(changed('annotations', segmentation=polygons))
    assert not columns.arrays['mask_problem'].any()
    assert columns.segmentation(1) == [ring for ring in polygons if not is_debris(ring)]
    assert columns.segmentation(2) == [GOOD]
    assert [remark.text for remark in columns.remarks] == [
        'annotations with polygons of less than 3 points or of half a point beside others, left '
        'out: 1 (2)'
    ]


def test_codes_of_pycocotools_in_memory():
    for segmentation in (
        mask_utils.encode(PLANE),  # bytes
        dict(size=np.array([80, 100]), counts=np.array(RUNS)),
        dict(size=(80, 100), counts=tuple(RUNS)),
    ):
        columns = read_columns(changed('annotations', segmentation=segmentation))
        assert not columns.arrays['mask_problem'].any()
        counts = columns.segmentation(1)['counts']
        assert counts == (CODE if isinstance(counts, str) else RUNS)


def test_polygons_of_several_kinds_in_memory():
    for rings in ([GOOD, np.array(GOOD)], [tuple(GOOD), GOOD], np.array([GOOD, GOOD])):
        columns = read_columns(changed('annotations', segmentation=rings))
        assert columns.segmentation(1) == [GOOD, GOOD]
        assert not columns.arrays['mask_problem'].any()
    columns = read_columns(changed('annotations', segmentation=np.zeros((0, 8))))
    assert columns.segmentation(1) is None


def test_many_masks_are_looked_at_in_pieces(monkeypatch):
    monkeypatch.setattr(annotation_masks, '_CODES', 7)
    monkeypatch.setattr(annotation_masks, '_COORDINATES', 11)
    rng = np.random.default_rng(0)
    content = content_of(60)
    masks = [*GOOD_MASKS.values(), *(mask for mask, _ in MALFORMED_MASKS.values()), None, {}]
    expected = {}
    for annotation in content['annotations']:
        number = int(rng.integers(len(masks)))
        annotation['segmentation'] = masks[number]
        none = masks[number] in (None, {})
        good = number < len(GOOD_MASKS)
        expected[annotation['id']] = NO_MASK if none else 0 if good else MALFORMED
    content['annotations'] = [content['annotations'][i] for i in rng.permutation(120)]
    arrays = read_columns(content).arrays
    found = dict(zip(arrays['annotation_id'].tolist(), arrays['mask_problem'].tolist()))
    assert found == expected
