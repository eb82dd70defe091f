"""Columns and their cache against what a json parser reads."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from lt_det.errors import BadInputError, MissingFileError
from lt_det.formats import annotation_cache
from lt_det.formats.annotation_cache import cache_folder, load_columns, open_cache
from lt_det.formats.annotation_columns import AnnotationColumns, read_columns
from lt_det.formats.annotation_stream import NotStreamableError, stream_records
from lt_det.frequency import ClassFrequency

from ..generated_lvis import lvis_content

# the made-up file has everything that is dropped
pytestmark = pytest.mark.filterwarnings('ignore::lt_det.errors.DataWarning')

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def json_file(tmp_path) -> Path:
    path = tmp_path / 'some.json'
    path.write_text(json.dumps(lvis_content()))
    return path


@pytest.fixture
def cached(json_file, monkeypatch) -> Path:
    """An annotation file with a cache, though it is small."""
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    load_columns(json_file)
    assert cache_folder(json_file).is_dir()
    return json_file


def assert_equal(ours: AnnotationColumns, theirs: AnnotationColumns) -> None:
    assert ours.categories == theirs.categories
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, array in ours.arrays.items():
        assert array.dtype == theirs.arrays[name].dtype
        np.testing.assert_array_equal(array, theirs.arrays[name], err_msg=name)


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize('block', [16, 700, 2**18])
@pytest.mark.parametrize('style', [{}, dict(indent=2), dict(separators=(',', ':'))])
def test_records_are_those_of_a_json_parser(tmp_path, monkeypatch, style, block):
    monkeypatch.setattr('lt_det.formats.annotation_stream._BLOCK', block)
    content = {'info': {'year': [1, {'a': 2}], 'é': 'ü}]'}, **lvis_content(), 'licenses': []}
    path = tmp_path / 'a.json'
    path.write_text('\n' + json.dumps(content, ensure_ascii=False, **style) + ' ')
    found = {'images': [], 'annotations': [], 'categories': []}
    for name, batch in stream_records(path):
        found[name] += batch
    assert found == {name: content[name] for name in found}


@pytest.mark.parametrize(
    'change',
    [
        lambda c: c['annotations'][5].update(note='a }, { b'),
        lambda c: c['annotations'][5].update(note='a }] b'),
        lambda c: c['annotations'][5].update(parts=[{'a': 1}, {'b': [{}]}]),
        lambda c: c['annotations'][5].update(parts=[{'a': 1}], area=float('nan')),
        lambda c: c.update(extra=[[{'images': []}] * 3]),
        lambda c: c.update(extra='x' * 2**21),
    ],
)
def test_contents_that_cannot_be_cut_are_read_all_the_same(tmp_path, monkeypatch, change):
    monkeypatch.setattr('lt_det.formats.annotation_stream._BLOCK', 100)
    content = lvis_content()
    change(content)
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    columns = read_columns(path)
    assert_equal(columns, columns_of(content, tmp_path))


def columns_of(content: dict, folder: Path) -> AnnotationColumns:
    """Through the parser of the whole file: keys of text behind its end stop the other one."""
    path = folder / 'whole.json'
    path.write_text(json.dumps({**content, 'stop': 'x' * 2**21}))
    with pytest.raises(NotStreamableError):
        list(stream_records(path))
    return read_columns(path)


def test_columns_hold_what_the_records_say(json_file):
    content = json.loads(json_file.read_text())
    content['categories'].sort(key=itemgetter('id'))
    columns = read_columns(json_file)
    arrays = columns.arrays
    label_of = {category['id']: label for label, category in enumerate(content['categories'])}
    row = 0
    for number, image in enumerate(content['images']):
        assert arrays['image_id'][number] == image['id']
        assert arrays['image_size'][number].tolist() == [image['height'], image['width']]
        assert columns.path(number) == '/'.join(image['coco_url'].split('/')[-2:])
        for name in ('neg_category_ids', 'not_exhaustive_category_ids'):
            assert columns.entry(name, number).tolist() == image.get(name, [])
        assert arrays['annotation_start'][number] == row
        for annotation in content['annotations']:
            if annotation['image_id'] == image['id']:
                assert arrays['category'][row] == label_of[annotation['category_id']]
                assert arrays['annotation_id'][row] == annotation['id']
                assert arrays['bbox'][row].tolist() == annotation['bbox']
                assert arrays['area'][row] == annotation['area']
                assert arrays['ignore'][row] == bool(annotation.get('ignore'))
                assert arrays['mask_problem'][row] == (columns.segmentation(row) is None)
                assert arrays['crowd'][row] == bool(annotation.get('iscrowd'))
                assert columns.segmentation(row) == (annotation.get('segmentation') or None)
                row += 1
    assert row == len(content['annotations']) == arrays['annotation_start'][-1]
    used = arrays['usable'] & ~arrays['crowd']
    images = np.repeat(np.arange(columns.num_images), np.diff(arrays['annotation_start']))
    labels = arrays['category'][used].tolist()
    pairs = set(zip(images[used].tolist(), labels))
    assert 0 < len(labels) < row
    expected = ClassFrequency(
        np.bincount([label for _, label in pairs], minlength=len(label_of)),
        np.bincount(labels, minlength=len(label_of)),
        len(content['images']),
    )
    assert ClassFrequency.from_annotation_file(json_file) == expected


def test_empty_lists(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{"images": [], "annotations": [ ], "categories": []}')
    columns = read_columns(path)
    assert columns.num_images == len(columns.categories) == len(columns.arrays['bbox']) == 0
    path.write_text('')
    with pytest.raises(BadInputError, match='not a json file'):
        read_columns(path)
    with pytest.raises(MissingFileError, match=r'gone\.json does not exist'):
        read_columns(tmp_path / 'gone.json')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c['images'].append(c['images'][0]), 'occurs more than once in images'),
        (lambda c: c['images'].append(3), r'images\[60\] is 3; expected a record'),
    ],
)
def test_bad_records_are_named(tmp_path, change, message):
    content = lvis_content()
    change(content)
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps(content))
    with pytest.raises(BadInputError, match=rf'.*bad\.json: .*{message}'):
        read_columns(path)


def test_truncated_files_are_refused(json_file):
    text = json_file.read_bytes()
    for length in range(1, len(text), len(text) // 40):
        json_file.write_bytes(text[:length])
        with pytest.raises(BadInputError, match='not a json file'):
            read_columns(json_file)


# ------------------------------------------------------------------------------------------ cache


def test_cache_gives_the_same_columns_without_parsing(cached, monkeypatch):
    parsed = read_columns(cached)
    monkeypatch.setattr(annotation_cache, 'read_columns', None)
    assert_equal(load_columns(cached), parsed)
    for kept in (
        copy.deepcopy(load_columns(cached)),
        pickle.loads(pickle.dumps(load_columns(cached))),
    ):
        assert_equal(kept, parsed)
    assert not any(array.flags.writeable for array in load_columns(cached).arrays.values())
    assert sorted(os.listdir(cached.parent)) == ['some.json', 'some.json.columns']


def test_no_cache_where_it_is_not_wanted(json_file, monkeypatch):
    load_columns(json_file)  # a small file
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    load_columns(json_file, cache=False)
    ClassFrequency.from_annotation_file(json_file)
    assert os.listdir(json_file.parent) == [json_file.name]


def test_changed_file_makes_a_new_cache(cached):
    status = cached.stat()
    text = cached.read_text()
    content = json.loads(text)
    first = content['annotations'][0]
    content['annotations'][0] = {**first, 'iscrowd': 1 - first['iscrowd']}
    cached.write_text(json.dumps(content))
    os.utime(cached, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cached.stat().st_size == status.st_size
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert_equal(load_columns(cached), read_columns(cached))
    assert open_cache(cached) is not None


def test_touched_file_keeps_its_cache(cached, monkeypatch):
    os.utime(cached)
    monkeypatch.setattr(annotation_cache, 'read_columns', None)
    load_columns(cached)
    monkeypatch.setattr(annotation_cache, 'sha256', None)
    load_columns(cached)  # the new times have been noted


def cut(folder: Path) -> None:
    path = folder / 'ring.npy'
    path.write_bytes(path.read_bytes()[:-100])


def hole(folder: Path) -> None:
    path = folder / 'bbox.npy'
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)


@pytest.mark.parametrize(
    'damage',
    [
        cut,
        hole,
        lambda folder: (folder / 'category.npy').unlink(),
        lambda folder: (folder / 'category.npy').write_bytes(b''),
        lambda folder: (folder / 'meta.json').unlink(),
        lambda folder: (folder / 'meta.json').write_text('{"format": '),
        lambda folder: (folder / 'meta.json').write_text('[]'),
        lambda folder: (folder / 'meta.json').write_text('{"checksums": {}}'),
    ],
)
def test_damaged_cache_is_made_anew_with_one_warning(cached, damage):
    expected = read_columns(cached)
    damage(cache_folder(cached))
    with pytest.warns(UserWarning) as caught:
        columns = load_columns(cached)
    assert len(caught) == 1
    assert 'made anew' in str(caught[0].message)
    assert_equal(columns, expected)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert_equal(load_columns(cached), expected)
    assert sorted(os.listdir(cached.parent)) == ['some.json', 'some.json.columns']


def test_leftovers_of_a_killed_process_are_removed(json_file, monkeypatch):
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    leftover = json_file.with_name(f'some.json.columns.{"0a" * 16}')
    leftover.mkdir()
    (leftover / 'bbox.npy').write_bytes(b'part')
    load_columns(json_file)
    assert sorted(os.listdir(json_file.parent)) == ['some.json', 'some.json.columns']


def test_full_disk_gives_one_warning_and_leaves_nothing(json_file):
    code = f"""
import resource, warnings
from lt_det.formats import annotation_cache
annotation_cache.SMALLEST = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    columns = annotation_cache.load_columns({str(json_file)!r})
assert len(caught) == 1 and 'cannot be written' in str(caught[0].message), caught
print(len(columns.arrays['bbox']))
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == len(lvis_content()['annotations'])
    assert os.listdir(json_file.parent) == [json_file.name]


def test_folder_that_cannot_be_written_to(json_file, monkeypatch):
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    json_file.parent.chmod(0o555)
    # root may write all the same
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            assert_equal(load_columns(json_file), read_columns(json_file))
        assert os.listdir(json_file.parent) == [json_file.name]
    finally:
        json_file.parent.chmod(0o755)


def _start(path: Path, log: Path, barrier, locks: bool) -> None:
    annotation_cache.SMALLEST = 0
    if not locks:
        annotation_cache.fcntl = None
    read = annotation_cache.read_columns

    def counted(path):
        with log.open('a') as file:
            file.write('parsed\n')
        return read(path)

    annotation_cache.read_columns = counted
    warnings.simplefilter('error')
    barrier.wait()
    assert_equal(load_columns(path), read(path))


@pytest.mark.parametrize('locks', [True, False])
def test_processes_that_start_together(json_file, tmp_path_factory, locks):
    context = multiprocessing.get_context('fork')
    log = tmp_path_factory.mktemp('log') / 'log.txt'
    for _ in range(2):  # without a cache and with one
        barrier = context.Barrier(4)
        processes = [
            context.Process(target=_start, args=(json_file, log, barrier, locks)) for _ in range(4)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * 4
        assert sorted(os.listdir(json_file.parent)) == ['some.json', 'some.json.columns']
    if locks:
        assert log.read_text() == 'parsed\n'
