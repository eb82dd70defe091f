"""A file that is refused, with every reason collected and the rest of it read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lt_det.errors import BadInputError
from lt_det.formats.annotation_columns import read_columns
from tests.generated_lvis import lvis_content
from tests.test_formats.test_annotation_defects import REFUSED, changed, content_of, refusals

KEPT = {  # kind of refusal: annotations 1 to 6 that are left without what is refused
    'malformed_image': [1, 2, 5, 6],
    'malformed_annotation': [1, 3, 4, 5, 6],
    'malformed_category': [1, 3, 5],
    'repeated_image_id': [1, 2, 5, 6],
    'repeated_annotation_id': [1, 1, 3, 4, 5, 6],
    'repeated_category_id': [1, 3, 5],
    'repeated_category_name': [1, 2, 3, 4, 5, 6],
    'unknown_image_id': [1, 3, 4, 5, 6],
    'unknown_category_id': [1, 3, 4, 5, 6],
}


@pytest.mark.parametrize(('section', 'values', 'message'), REFUSED)
def test_what_is_refused_is_the_first_of_what_is_collected(tmp_path, section, values, message):
    path = tmp_path / 'a.json'
    content = changed(section, **values)
    strict = refusals(content, path)
    for columns in (read_columns(path, collect=True), read_columns(content, collect=True)):
        first = columns.refusals[0]
        assert {first.text} == strict
        assert first.count == len(first.first) == 1
        assert columns.arrays['annotation_id'].tolist() == KEPT[first.kind]
        # annotations of an image or category that was left out are named too
        others = {refusal.kind for refusal in columns.refusals[1:]}
        assert others <= {'unknown_image_id', 'unknown_category_id'}


def test_all_reasons_are_collected_with_their_number():
    content = content_of(8)
    annotations, images = content['annotations'], content['images']
    for annotation in annotations[:3]:
        annotation['bbox'] = None
    for annotation in annotations[3:10]:
        annotation['image_id'] += 1000
    annotations[10]['bbox'][0] = float('nan')
    annotations[12]['id'] = annotations[11]['id']
    annotations[13]['category_id'] = 77
    annotations[13]['segmentation'] = dict(size=[80, 100], counts=[8000])
    images[7]['width'] = '100'
    content['categories'].append(dict(id=5, name='a'))
    columns = read_columns(content, collect=True)
    found = {refusal.kind: (refusal.count, refusal.first) for refusal in columns.refusals}
    assert found.pop('malformed_annotation')[0] == 4
    assert found.pop('malformed_image') == (
        1,
        ["image 8 has width '100'; expected a whole number of pixels, 1 to 2147483647"],
    )
    assert found == {
        'unknown_image_id': (9, [4, 5, 6, 7, 8]),
        'unknown_category_id': (1, [14]),
        'repeated_annotation_id': (1, [12]),
        'repeated_category_name': (1, ['a']),
    }
    assert columns.arrays['annotation_id'].tolist() == [12, 12]
    assert columns.segmentation(1) == [[10, 10, 40, 10, 40, 30, 10, 30]]
    with pytest.raises(BadInputError, match="image 8 has width '100'"):
        read_columns(content)


def test_no_images_left():
    content = changed('annotations', segmentation=dict(size=[80, 100], counts=[8000]))
    for image in content['images']:
        image['height'] = 0
    columns = read_columns(content, collect=True)
    assert [(r.kind, r.count) for r in columns.refusals] == [
        ('malformed_image', 3),
        ('unknown_image_id', 6),
    ]
    assert columns.num_images == len(columns.arrays['annotation_id']) == 0


def test_the_columns_are_those_of_a_file_without_the_refused_records(tmp_path):
    """Polygons, codes and lists stay with their own annotations and images."""
    content = lvis_content()
    rng = np.random.default_rng(0)
    kept = json.loads(json.dumps(content))
    lost = set(rng.permutation(len(content['annotations']))[:40].tolist())
    ways = [dict(image_id=-7), dict(bbox=[0, 0, float('nan'), 5]), dict(category_id=1.5)]
    for row in lost:
        content['annotations'][row].update(ways[row % len(ways)])
    kept['annotations'] = [a for row, a in enumerate(kept['annotations']) if row not in lost]
    expected, columns = read_columns(kept), read_columns(content, collect=True)
    assert sum(refusal.count for refusal in columns.refusals) == len(lost)
    assert columns.arrays['annotation_id'].tolist() == expected.arrays['annotation_id'].tolist()
    for row in range(len(expected.arrays['annotation_id'])):
        assert columns.segmentation(row) == expected.segmentation(row)
    for name in ('bbox', 'mask_problem', 'usable', 'annotation_start', 'instance_count'):
        np.testing.assert_array_equal(columns.arrays[name], expected.arrays[name])
