from __future__ import annotations

import json
from pathlib import Path

import pytest

from lt_det.errors import BadInputError, MissingFileError
from lt_det.formats.annotation_columns import read_columns
from lt_det.formats.image_predictions import holds_images, read_image_predictions

IDS = {'cat': 7, 'dog': 3}


def annotations(*images: dict) -> dict:
    categories = [dict(id=category, name=name) for name, category in IDS.items()]
    images = [dict(dict(width=20, height=20), **image) for image in images]
    return dict(images=images, annotations=[], categories=categories)


def entry(file: str, *detections: tuple[str, float]) -> dict:
    found = [dict(score=score, bbox=[1, 2, 3, 4]) | {'class': name} for name, score in detections]
    return dict(file=file, height=20, width=20, detections=found)


def write(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def read(tmp_path: Path, truth: dict, *entries: dict):
    path = write(tmp_path / 'predictions.json', list(entries))
    return read_image_predictions(path, read_columns(write(tmp_path / 'ann.json', truth)), IDS)


def test_files_and_names_become_ids(tmp_path):
    truth = annotations(
        dict(id=40, file_name='a.jpg'),
        dict(id=41, file_name='below/a.jpg'),
        dict(id=42, coco_url='http://images.cocodataset.org/val2017/000000000042.jpg'),
        dict(id=43, file_name='never.jpg'),
    )
    found = read(
        tmp_path,
        truth,
        entry('data/images/a.jpg', ('dog', 0.5), ('cat', 0.25)),
        entry('data/images/below/a.jpg', ('cat', 0.75)),
        entry('data/lvis/val2017/000000000042.jpg'),
        entry('data/images/other.jpg', ('cat', 0.01)),
    )
    assert [(r['image_id'], r['category_id'], r['score']) for r in found.records] == [
        (40, 3, 0.5),
        (40, 7, 0.25),
        (41, 7, 0.75),
    ]
    assert all(record['bbox'] == [1, 2, 3, 4] for record in found.records)
    assert (found.unknown, found.num_missing) == (['data/images/other.jpg'], 1)
    assert found.lowest == 0.25
    remarks = list(found.remarks('ann.json'))
    assert [remark.split()[0] for remark in remarks] == ['left', '1', 'the']
    assert '--score-thr 0' in remarks[2]


def test_nothing_is_remarked_where_all_is_there(tmp_path):
    found = read(
        tmp_path, annotations(dict(id=1, file_name='a.jpg')), entry('a.jpg', ('dog', 0.01))
    )
    assert list(found.remarks('ann.json')) == []


@pytest.mark.parametrize(
    ('entries', 'words'),
    [
        ([entry('x.jpg')], 'none of its 1 images is one of .*ann.json, the first is x.jpg'),
        ([entry('a.jpg', ('bird', 0.5))], "class 'bird' is no category of .*ann.json"),
        ([entry('a.jpg'), entry('x/a.jpg')], 'a.jpg and x/a.jpg are both image 1 of'),
        ([entry('y/b.jpg')], 'y/b.jpg fits images 2 and 3 of'),
        ([dict(file='a.jpg')], "image 0 lacks or has an unusable 'detections'"),
        ([dict(file='a.jpg', detections=[dict(score=1)])], "unusable 'class'"),
        (['a.jpg'], 'image 0 lacks'),
    ],
)
def test_bad_input_is_named(tmp_path, entries, words):
    truth = annotations(
        dict(id=1, file_name='a.jpg'), dict(id=2, file_name='b.jpg'), dict(id=3, file_name='b.jpg')
    )
    with pytest.raises(BadInputError, match=words):
        read(tmp_path, truth, *entries)


def test_predictions_are_told_from_records(tmp_path):
    assert holds_images(write(tmp_path / 'a.json', [entry('a.jpg', ('dog', 0.5))]))
    assert not holds_images(write(tmp_path / 'b.json', [dict(image_id=1, bbox=[1, 2, 3, 4])]))
    assert not holds_images(write(tmp_path / 'c.json', []))
    with pytest.raises(MissingFileError, match='absent.json'):
        holds_images(tmp_path / 'absent.json')
