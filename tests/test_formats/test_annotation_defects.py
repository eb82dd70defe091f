"""What an annotation file may hold: one answer and one message, in training and in counting."""

from __future__ import annotations

import codecs
import copy
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from lt_det.datasets import LongTailLVISDataset
from lt_det.errors import BadInputError, DataWarning
from lt_det.formats import annotation_cache
from lt_det.formats.annotation_cache import load_columns
from lt_det.formats.annotation_columns import AnnotationColumns, read_columns
from lt_det.frequency import ClassFrequency

NAN = float('nan')


def content_of(num_images: int = 3, width: int = 100) -> dict:
    """An object of 'a' and one of 'b' on each image, ids from 1."""
    images = [
        dict(id=i, width=width, height=80, file_name=f'{i}.png', neg_category_ids=[2])
        for i in range(1, num_images + 1)
    ]
    for image in images:
        image['not_exhaustive_category_ids'] = []
    annotations = [
        dict(id=2 * i + k - 2, image_id=i, category_id=k, bbox=[10, 10, 30, 20], area=600)
        for i in range(1, num_images + 1)
        for k in (1, 2)
    ]
    for annotation in annotations:
        annotation['segmentation'] = [[10, 10, 40, 10, 40, 30, 10, 30]]
    categories = [dict(id=1, name='a', frequency='f'), dict(id=2, name='b', frequency='f')]
    return dict(images=images, annotations=annotations, categories=categories)


def changed(section: str, **values) -> dict:
    """The second record of a list with other values; of the type KeyError: without the key."""
    content = content_of()
    for key, value in values.items():
        if value is KeyError:
            del content[section][1][key]
        else:
            content[section][1][key] = value
    return content


def training(path: Path, **kwargs) -> LongTailLVISDataset:
    return LongTailLVISDataset(ann_file=str(path), pipeline=[], check_images=False, **kwargs)


def refusals(content: dict, path: Path) -> set[str]:
    """The messages of all that read a file, without its name."""
    path.write_text(json.dumps(content))
    messages = set()
    for read, source in (
        (training, path),
        (ClassFrequency.from_annotation_file, path),
        (read_columns, path),
        (read_columns, content),
    ):
        with pytest.raises(BadInputError) as caught:
            read(source)
        name = 'annotations given as a dict' if source is content else str(path)
        assert str(caught.value).startswith(f'{name}: ')
        messages.add(str(caught.value).removeprefix(f'{name}: '))
    return messages


def read_silently(content: dict | Path) -> AnnotationColumns:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        return read_columns(content)


# ------------------------------------------------------------------------------------------ refused

REFUSED = [
    # ids
    *(
        ('annotations', {key: value}, f'2 has {key} {shown}; expected an integer')
        for key in ('image_id', 'category_id')
        for value, shown in (
            (1.5, '1.5'),
            ('1', "'1'"),
            (True, 'True'),
            (None, 'null'),
            ([1], '[1]'),
        )
    ),
    *(
        (section, dict(id=value), f'{section}[1] has id {shown}; expected an integer')
        for section in ('images', 'annotations', 'categories')
        for value, shown in (
            (2.5, '2.5'),
            ('2', "'2'"),
            (False, 'False'),
            (None, 'null'),
            (NAN, 'nan'),
        )
    ),
    ('images', dict(id=2**63), 'images[1] has id 9223372036854775808; expected an integer'),
    ('annotations', dict(image_id=2**63), 'annotation 2 has image_id 9223372036854775808; exp'),
    *(
        (section, dict(id=1), f'id 1 occurs more than once in {section}')
        for section in ('images', 'annotations', 'categories')
    ),
    ('annotations', dict(image_id=9), 'annotation 2 has image_id 9, which is not in images'),
    ('annotations', dict(category_id=9), 'annotation 2 has category_id 9, which is not in categ'),
    *(
        ('annotations', {key: KeyError}, f"has no '{key}'; expected")
        for key in ('id', 'image_id', 'category_id', 'bbox')
    ),
    # images
    *(
        ('images', {key: value}, f'image 2 has {key} {shown}; expected a whole number of pixels')
        for key in ('height', 'width')
        for value, shown in (
            (None, 'null'),
            ('100', "'100'"),
            (99.5, '99.5'),
            (0, '0'),
            (-3, '-3'),
            (True, 'True'),
            (NAN, 'nan'),
        )
    ),
    ('images', dict(width=KeyError), "image 2 has no 'width'; expected a whole number of pixels"),
    ('images', dict(file_name=7), 'image 2 has file_name 7; expected a text'),
    ('images', dict(coco_url=['x']), "image 2 has coco_url ['x']; expected a text"),
    *(
        ('images', {key: value}, f'image 2 has {key} {value!r}; expected a list of category ids')
        for key in ('neg_category_ids', 'not_exhaustive_category_ids')
        for value in (2, '2', ['2'], [2.7], [None], [[2]], [True], {'2': 1}, False)
    ),
    # annotations
    *(
        ('annotations', {key: value}, f'annotation 2 has {key} {value!r}; expected 0 or 1')
        for key in ('ignore', 'iscrowd')
        for value in ('0', '', 2, 0.5, [], -1)
    ),
    *(
        (
            'annotations',
            dict(bbox=value),
            f'annotation 2 has bbox {shown}; expected 4 finite numbers',
        )
        for value, shown in (
            ([1, 2, 3], '[1, 2, 3]'),
            ([1, 2, 3, 4, 5], '[1, 2, 3, 4, 5]'),
            ([1, 2, 3, '4'], "[1, 2, 3, '4']"),
            ([1, 2, 3, None], '[1, 2, 3, None]'),
            ([1, 2, [3], 4], '[1, 2, [3], 4]'),
            ([1, 2, 3, True], '[1, 2, 3, True]'),
            ([1.0, 2.0, NAN, 4.0], '[1.0, 2.0, nan, 4.0]'),
            ([1.0, float('-inf'), 3.0, 4.0], '[1.0, -inf, 3.0, 4.0]'),
            (None, 'null'),
            ('1 2 3 4', "'1 2 3 4'"),
            ({}, '{}'),
        )
    ),
    *(
        ('annotations', dict(area=value), f'annotation 2 has area {value!r}; expected a number')
        for value in ('600', [600], True)
    ),
    # categories
    ('categories', dict(name='a'), "categories 1 and 2 have the same name 'a'"),
    ('categories', dict(name=KeyError), "category 2 has no 'name'; expected a text"),
    ('categories', dict(name=None), 'category 2 has name null; expected a text'),
    ('categories', dict(name=['b']), "category 2 has name ['b']; expected a text"),
]


@pytest.mark.parametrize(('section', 'values', 'message'), REFUSED)
def test_what_cannot_be_used_is_refused_by_name(tmp_path, section, values, message):
    content = changed(section, **values)
    before = copy.deepcopy(content)
    found = refusals(content, tmp_path / 'a.json')
    assert len(found) == 1
    assert message in found.pop()
    assert repr(content) == repr(before)  # NaN is not equal to itself


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('images'), "no list 'images', found ['annotations', 'categories']"),
        (lambda c: c.pop('categories'), "no list 'categories', found"),
        (lambda c: c.update(images=None), "no list 'images'"),
        (lambda c: c.update(categories=None), "no list 'categories'"),
        (lambda c: c.update(annotations={}), "'annotations' is dict; expected a list of records"),
        (lambda c: c.update(images='x'), "'images' is str; expected a list of records"),
        (lambda c: c['images'].append([1]), 'images[3] is [1]; expected a record'),
        (lambda c: c['annotations'].append(None), 'annotations[6] is null; expected a record'),
        (lambda c: c['categories'].append('cat'), "categories[2] is 'cat'; expected a record"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path, change, message):
    content = content_of()
    change(content)
    found = refusals(content, tmp_path / 'a.json')
    assert len(found) == 1
    assert message in found.pop()


def test_a_defect_late_in_a_large_file_is_found_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr('lt_det.formats.annotation_columns.read_json', None)  # not read twice
    content = content_of(2000)
    content['annotations'][3900]['bbox'] = None
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    with pytest.raises(BadInputError, match='annotation 3901 has bbox null'):
        read_columns(path)


def test_a_test_set_has_no_annotations(tmp_path):
    for change in (lambda c: c.pop('annotations'), lambda c: c.update(annotations=None)):
        content = content_of()
        change(content)
        path = tmp_path / 'test.json'
        path.write_text(json.dumps(content))
        assert not read_silently(path).has_annotations
        assert not read_silently(content).has_annotations
        assert len(training(path, test_mode=True)) == 3
        for read in (training, ClassFrequency.from_annotation_file):
            with pytest.raises(BadInputError, match="test.json: no list 'annotations'; training"):
                read(path)
    assert read_silently(content_of()).has_annotations


# ----------------------------------------------------------------------------------------- accepted

ACCEPTED = [
    ('annotations', dict(id=2.0, image_id=1.0, category_id=2.0)),
    ('images', dict(id=2.0, width=100.0, height=80.0, neg_category_ids=[2.0])),
    ('categories', dict(id=2.0)),
    ('annotations', dict(iscrowd=None, ignore=None)),
    ('annotations', dict(iscrowd=False, ignore=0.0)),
    ('annotations', dict(iscrowd=0)),
    ('annotations', dict(bbox=[10.0, 10.0, 30.0, 20.0], area=600.0)),
]
ACCEPTED_IN_MEMORY = [
    ('annotations', dict(id=np.int64(2), image_id=np.int32(1), area=np.float32(600))),
    ('annotations', dict(bbox=np.array([10, 10, 30, 20], np.float32), iscrowd=np.bool_(False))),
    ('annotations', dict(bbox=(10, 10, 30, 20), segmentation=((10, 10, 40, 10, 40, 30, 10, 30),))),
    ('annotations', dict(segmentation=[np.array([10, 10, 40, 10, 40, 30, 10, 30])])),
    ('annotations', dict(segmentation=np.array([[10, 10, 40, 10, 40, 30, 10, 30]]))),
    ('images', dict(neg_category_ids=np.array([2]), width=np.float64(100))),
]


@pytest.mark.parametrize(('section', 'values'), ACCEPTED)
def test_the_same_written_in_another_way_gives_the_same_columns(tmp_path, section, values):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(changed(section, **values)))
    assert_plain(read_silently(path))


@pytest.mark.parametrize(('section', 'values'), ACCEPTED + ACCEPTED_IN_MEMORY)
def test_the_same_in_memory_gives_the_same_columns(section, values):
    assert_plain(read_silently(changed(section, **values)))


def assert_plain(columns: AnnotationColumns) -> None:
    expected = read_silently(content_of())
    assert columns.categories == expected.categories
    for name, array in expected.arrays.items():
        assert array.dtype == columns.arrays[name].dtype
        np.testing.assert_array_equal(columns.arrays[name], array, err_msg=name)
    assert columns.remarks == columns.training_remarks == []


def test_names_that_are_numbers_become_texts(tmp_path):
    columns = read_silently(changed('categories', name=7))
    assert columns.category_names == ('a', '7')
    content = changed('categories', name=7)
    content['categories'][0]['name'] = '7'
    assert refusals(content, tmp_path / 'a.json') == {
        "categories 1 and 2 have the same name '7'; expected a name of its own for each"
    }


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-be', 'utf-32'])
@pytest.mark.parametrize('cached', [False, True])
def test_text_encodings(tmp_path, monkeypatch, encoding, cached):
    if cached:
        monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    content = content_of()
    content['categories'][0]['name'] = 'été'
    path = tmp_path / 'a.json'
    mark = codecs.BOM_UTF16_BE if encoding == 'utf-16-be' else b''
    path.write_bytes(mark + json.dumps(content, ensure_ascii=False).encode(encoding))
    for _ in range(2):
        assert load_columns(path).category_names == ('été', 'b')
    assert ClassFrequency.from_annotation_file(path).class_names == ('été', 'b')


def test_whether_a_file_has_federated_lists():
    content = content_of()
    for key, left in (('neg_category_ids', True), ('not_exhaustive_category_ids', False)):
        assert read_columns(content).federated
        for image in content['images']:
            del image[key]
        assert read_columns(content).federated == left
    content['images'][2]['neg_category_ids'] = None
    assert read_columns(content).federated


# --------------------------------------------------------------------------------------------- said


def said(content: dict, path: Path, read) -> list[str]:
    path.write_text(json.dumps(content))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        read(path)
    mine = [warning for warning in caught if warning.category is DataWarning]
    assert len({(warning.filename, warning.lineno) for warning in mine}) <= 1
    return [str(warning.message).removeprefix(f'{path}: ') for warning in mine]


SAID = [
    ('images', dict(neg_category_ids=None), 'images without neg_category_ids', 1),
    ('images', dict(neg_category_ids=KeyError), 'images without neg_category_ids', 1),
    ('images', dict(not_exhaustive_category_ids=None), 'images without not_exhaustive_cat', 1),
    ('images', dict(neg_category_ids=[2, 77, 78]), 'images with ids in neg_category_ids that', 1),
    ('images', dict(not_exhaustive_category_ids=[9]), 'images with ids in not_exhaustive_ca', 1),
    ('annotations', dict(area=None), 'annotations without an area, for which width', 1),
    ('annotations', dict(area=KeyError), 'annotations without an area, for which width', 1),
    ('annotations', dict(area=0), 'annotations with an area that is not positive', 0),
    ('annotations', dict(area=-600), 'annotations with an area that is not positive', 0),
    ('annotations', dict(area=NAN), 'annotations with an area that is not positive', 0),
    ('annotations', dict(area=float('inf')), 'annotations with an area that is not positive', 0),
    ('annotations', dict(bbox=[10, 10, 0.9, 20]), 'annotations with a width or height below 1', 0),
    ('annotations', dict(bbox=[0.1, 0.1, 0.3, 0.3]), 'annotations with a width or height below', 0),
    ('annotations', dict(bbox=[40, 10, -30, 20]), 'annotations with a negative width or height', 0),
    ('annotations', dict(bbox=[10, 30, 30, -20]), 'annotations with a negative width or height', 0),
    ('annotations', dict(bbox=[100, 10, 30, 20]), 'annotations with a box outside of their', 0),
    ('annotations', dict(bbox=[-30, 10, 30, 20]), 'annotations with a box outside of their', 0),
    ('annotations', dict(ignore=1), "annotations with 'ignore' set", 0),
    ('annotations', dict(iscrowd=1), "annotations with 'iscrowd' set", 0),
    (
        'annotations',
        dict(segmentation=[[10, 10], [10, 10, 40, 10, 40, 30]]),
        'annotations with polygons of less than 3 points',
        1,
    ),
]


@pytest.mark.parametrize(('section', 'values', 'message', 'learned'), SAID)
def test_what_is_dropped_or_assumed_is_said_and_not_counted(
    tmp_path, section, values, message, learned
):
    content = changed(section, **values)
    path = tmp_path / 'a.json'
    counted = said(content, path, ClassFrequency.from_annotation_file)
    assert said(content, path, training) == counted
    assert [text for text in counted if text.startswith(message)]
    assert counted[0].endswith(': 1 (2)')  # the id of the image or annotation
    with pytest.warns(DataWarning):
        dataset = training(path)
        assert dataset.class_frequency == ClassFrequency.from_annotation_file(path)
    assert dataset.class_frequency.instance_count.tolist() == [3, 2 + learned]
    assert dataset.class_frequency.image_count.tolist() == [3, 2 + learned]
    learnable = [
        instance['bbox_label']
        for item in map(dataset.get_data_info, range(3))
        for instance in item['instances']
        if not instance['ignore_flag']
    ]
    assert np.bincount(learnable, minlength=2).tolist() == [3, 2 + learned]


def test_nothing_is_said_of_a_plain_file(tmp_path):
    content = content_of()
    content['annotations'][1]['bbox'] = [-5, -5, 120, 20]  # merely reaches beyond the image
    assert said(content, tmp_path / 'a.json', training) == []
    assert read_columns(content).arrays['usable'].all()
    for image in content['images']:
        del image['neg_category_ids']
    assert said(content, tmp_path / 'a.json', training) == []


def test_values_that_are_computed_or_dropped():
    content = changed('annotations', area=None, bbox=[10, 10, 30, 5])
    columns = read_columns(content)
    assert columns.arrays['area'].tolist() == [600, 150, 600, 600, 600, 600]
    columns = read_columns(changed('images', neg_category_ids=[77, 2, 78]))
    assert [columns.entry('neg_category_ids', i).tolist() for i in range(3)] == [[2], [2], [2]]
    columns = read_columns(changed('images', neg_category_ids=None))
    assert [columns.entry('neg_category_ids', i).tolist() for i in range(3)] == [[2], [], [2]]
    columns = read_columns(changed('annotations', iscrowd=1, ignore=True))
    assert columns.arrays['crowd'].tolist() == columns.arrays['ignore'].tolist()
    assert columns.arrays['ignore'].tolist() == [False, True, False, False, False, False]


def test_classes_that_lose_all_annotations_are_named(tmp_path):
    content = content_of()
    for annotation in content['annotations'][1::2]:
        annotation['area'] = 0
    texts = said(content, tmp_path / 'a.json', training)
    assert texts[0].endswith("not trained on nor scored by LVIS's rules: 3 (2, 4, 6)")
    assert texts[1] == 'classes with annotations, but none to train on: 1 (b)'
    assert said(content, tmp_path / 'a.json', lambda path: training(path, test_mode=True)) == [
        texts[0]
    ]


@pytest.mark.parametrize(('num_images', 'shift', 'hint'), [(5, 60, 1), (4, 60, 0), (5, 50.5, 0)])
def test_a_hint_that_corners_were_written(tmp_path, num_images, shift, hint):
    content = content_of(num_images, width=90)
    for annotation in content['annotations']:
        annotation['bbox'] = [40, 10, shift, 20]
    texts = said(content, tmp_path / 'a.json', training)
    assert len(texts) == hint
    if hint:
        assert texts[0].startswith('10 of 10 boxes reach beyond their image')
        assert 'corners' in texts[0]


def test_remarks_are_kept_in_the_cache_and_shown_once(tmp_path, monkeypatch):
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    content = changed('annotations', area=None, iscrowd=1)
    del content['images'][0]['neg_category_ids']
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    parsed, kept = read_columns(path), load_columns(path)
    monkeypatch.setattr(annotation_cache, 'read_columns', None)
    for columns in (kept, load_columns(path)):
        for name in ('source', 'remarks', 'training_remarks', 'federated', 'has_annotations'):
            assert getattr(columns, name) == getattr(parsed, name)
    assert (len(parsed.remarks), len(parsed.training_remarks)) == (2, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('default')
        for columns in (kept, load_columns(path)):
            columns.say_remarks(training=True)
    assert len(caught) == 3


def test_a_cache_of_another_format_is_made_anew_without_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content_of()))
    load_columns(path)
    meta = annotation_cache.cache_folder(path) / 'meta.json'
    meta.write_text(json.dumps({'format': 1, 'checksums': {}}))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert load_columns(path).num_images == 3
    assert json.loads(meta.read_text())['format'] == annotation_cache.FORMAT
