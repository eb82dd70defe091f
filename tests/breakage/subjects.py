"""What reads each kind of file, and what it must give of a broken one."""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

from lt_det.errors import UserError

from . import documented, files
from .breaking import (
    ARRAYS,
    Broken,
    broken_array,
    broken_bytes,
    broken_json,
    broken_lines,
    broken_tree,
)
from .documented import ANY, REFUSED, RefusedError

LONGEST = 1000  # characters of a message


class Subject(NamedTuple):
    """A kind of file.

    Args:
        broken: Strategy of ``Broken`` content.
        check: Reads content in a folder; raises AssertionError on any wrong outcome.
    """

    broken: st.SearchStrategy
    check: Callable[[Path, bytes], None]


def outcome(read: Callable, *arguments: Any) -> Any:
    """What reading gives, ``REFUSED`` where that is an error for a user in one line."""
    try:
        return read(*arguments)
    except UserError as error:
        message = str(error)
        assert '\n' not in message and '\r' not in message, f'more than a line: {message!r:.300}'
        assert 10 < len(message) < LONGEST, f'{len(message)} characters: {message:.300}'
        return REFUSED


def expected(read: Callable, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except RefusedError:
        return REFUSED


def same(found: Any, wanted: Any) -> bool:
    """Equality of nested values; NaN equals NaN, and an integer the float of its value."""
    if isinstance(wanted, torch.Tensor):
        return isinstance(found, torch.Tensor) and same(found.numpy(), wanted.numpy())
    if isinstance(wanted, np.ndarray):
        if not isinstance(found, np.ndarray) or found.shape != wanted.shape:
            return False
        if wanted.dtype.kind == 'f':
            return np.array_equal(found, wanted, equal_nan=True)
        return np.array_equal(found, wanted)
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and found.keys() == wanted.keys()
            and all(same(found[key], wanted[key]) for key in wanted)
        )
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(found, (list, tuple))
            and len(found) == len(wanted)
            and all(map(same, found, wanted))
        )
    if isinstance(wanted, float) and isinstance(found, float) and math.isnan(wanted):
        return math.isnan(found)
    return type(found) is not np.ndarray and found == wanted


def agree(found: Any, wanted: Any, what: str) -> None:
    if isinstance(wanted, str) and wanted == ANY:
        return
    assert same(found, wanted), f'{what}: {found!r:.300}; expected {wanted!r:.300}'


# -------------------------------------------------------------------------------- annotation files


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


def check_columns(folder: Path, data: bytes) -> None:
    """A cache of columns of which one file is broken."""
    from lt_det.formats import annotation_cache

    path = folder / 'truth.json'
    path.write_text(json.dumps(files.annotations()))
    before, annotation_cache.SMALLEST = annotation_cache.SMALLEST, 0
    try:
        annotation_cache.load_columns(path)
        name, _, content = data.partition(b'\n')
        (annotation_cache.cache_folder(path) / name.decode()).write_bytes(content)
        found = outcome(lambda: columns_as_records(annotation_cache.load_columns(path)))
    finally:
        annotation_cache.SMALLEST = before
    wanted = content_as_records(documented.annotations(path.read_bytes()))
    agree(found, wanted, 'columns of a cache')


@cache
def cache_files() -> dict[str, bytes]:
    import tempfile

    from lt_det.formats import annotation_cache

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'truth.json')
        path.write_text(json.dumps(files.annotations()))
        before, annotation_cache.SMALLEST = annotation_cache.SMALLEST, 0
        try:
            annotation_cache.load_columns(path)
        finally:
            annotation_cache.SMALLEST = before
        made = annotation_cache.cache_folder(path)
        return {file.name: file.read_bytes() for file in sorted(made.iterdir())}


@st.composite
def broken_column(draw: Callable) -> Broken:
    name = draw(st.sampled_from(sorted(cache_files())))
    how, data = draw(broken_bytes(cache_files()[name]))
    return Broken(f'{name}: {how}', name.encode() + b'\n' + data)


# ------------------------------------------------------------------------------------ result files


@cache
def evaluator_of(iou_type: str, skip_invalid: bool = False) -> Any:
    from lt_det.evaluation import LVISEvaluator

    return LVISEvaluator(files.annotations(), iou_type, skip_invalid=skip_invalid)


def check_results(folder: Path, data: bytes) -> None:
    path = folder / 'results.json'
    path.write_bytes(data)
    wanted = expected(documented.results, data, files.annotations())
    evaluator = evaluator_of('bbox')
    truth = evaluator.truth

    def read() -> list[tuple]:
        found = evaluator.read(str(path))
        columns = (
            truth.image_ids[found.image].tolist(),
            truth.category_ids[found.category].tolist(),
            found.score.tolist(),
            map(tuple, found.boxes.tolist()),
        )
        return list(zip(*columns))

    agree(outcome(read), wanted, 'records')
    metrics = outcome(evaluator.evaluate, str(path))
    if wanted == REFUSED:
        agree(metrics, REFUSED, 'metrics')
    else:
        keys = ('image_id', 'category_id', 'score', 'bbox')
        records = [dict(zip(keys, record)) for record in wanted]
        agree(metrics, evaluator.evaluate(records), 'metrics')
    lenient = evaluator_of('bbox', skip_invalid=True)
    metrics = outcome(lenient.evaluate, str(path))
    if wanted != REFUSED:
        assert not lenient.skipped, 'left out records that are valid'
        agree(metrics, evaluator.evaluate(records), 'metrics with skip_invalid')


def check_mask_results(folder: Path, data: bytes) -> None:
    path = folder / 'results.json'
    path.write_bytes(data)
    found = [outcome(evaluator_of('segm', skip).evaluate, str(path)) for skip in (False, True)]
    if found[0] != REFUSED:
        agree(found[1], found[0], 'metrics with skip_invalid')


def check_foreign(name: str) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from lt_det.formats.foreign_results import read_foreign

        path = folder / name
        path.write_bytes(data)
        numbers = {class_name: i for i, class_name in enumerate(files.NAMES, 1)}

        def read() -> dict:
            found = read_foreign(path, files.NAMES, numbers)
            return {t: evaluator_of(t).evaluate(source) for t, source in found.items()}

        outcome(read)

    return check


# -------------------------------------------------------------------------------------- text files


def check_list_file(folder: Path, data: bytes) -> None:
    from lt_det.datasets import ListFileDataset
    from lt_det.formats.list_file import read_list_file

    path = folder / 'list.txt'
    path.write_bytes(data)
    wanted = expected(documented.list_file, data, 4)

    def read() -> list:
        lines, labels = read_list_file(path, 4)
        names = [line.rsplit(None, 1)[0].decode(errors='surrogateescape') for line in lines]
        return list(zip(names, labels.tolist()))

    def items() -> list:
        dataset = ListFileDataset(str(path), num_classes=4, pipeline=[])
        found = [dataset.get_data_info(index) for index in range(len(dataset))]
        agree(dataset.get_gt_labels().tolist(), [i['gt_label'] for i in found], 'labels')
        return [(item['img_path'], item['gt_label']) for item in found]

    agree(outcome(read), wanted, 'read_list_file')
    agree(outcome(items), wanted, 'ListFileDataset')


def check_words(folder: Path, data: bytes) -> None:
    from lt_det.formats.word_file import read_word_file

    path = folder / 'words.txt'
    path.write_bytes(data)
    found = outcome(lambda: read_word_file(path, files.WORDS).words)
    agree(found, expected(documented.word_file, data, files.WORDS), 'read_word_file')
    outcome(read_word_file, path, files.WORDS, 'skip')


def check_vocabulary(folder: Path, data: bytes) -> None:
    from lt_det.formats.word_file import read_vocabulary

    path = folder / 'vocabulary.txt'
    path.write_bytes(data)
    found = outcome(read_vocabulary, path)
    agree(found, expected(documented.vocabulary, data), 'read_vocabulary')


def check_class_names(folder: Path, data: bytes) -> None:
    from lt_det.datasets.class_names import load_class_names

    (folder / 'names.txt').write_bytes(data)
    found = outcome(load_class_names, folder / 'names.txt')
    agree(found, expected(documented.class_names, data), 'load_class_names')


def check_categories(folder: Path, data: bytes) -> None:
    from lt_det.datasets.class_names import load_class_names

    (folder / 'names.json').write_bytes(data)
    found = outcome(load_class_names, folder / 'names.json')
    agree(found, expected(documented.categories, data), 'load_class_names')


def check_word_vectors(folder: Path, data: bytes) -> None:
    from lt_det.models.layers.word_vectors import read_word_vectors

    (folder / 'vectors.txt').write_bytes(data)
    words = ['red', 'green', 'sky', 'none']
    wanted = expected(documented.word_vectors, data, words, 3)
    if wanted != REFUSED:
        wanted = np.array([[math.nan] * 3 if row is None else row for row in wanted], np.float32)
    found = outcome(lambda: read_word_vectors(str(folder / 'vectors.txt'), words, 3).numpy())
    agree(found, wanted, 'read_word_vectors')


def check_image_ids(folder: Path, data: bytes) -> None:
    from lt_det.cli.evaluate import read_ids

    (folder / 'ids.txt').write_bytes(data)
    outcome(read_ids, str(folder / 'ids.txt'))


# ------------------------------------------------------------------------------- calibration files


@cache
def calibration_texts() -> tuple[str, str]:
    import tempfile

    from ..test_calibration.test_page import calibrated, written

    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder), *calibrated(num_classes=6))
        return tuple(Path(folder, name).read_text() for name in ('choice.json', 'sweep.csv'))


def check_calibration(name: str) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from lt_det.calibration.choice import read_choice
        from lt_det.calibration.page import write_page
        from lt_det.calibration.sweep_file import read_sweep

        for file, text in zip(('choice.json', 'sweep.csv'), calibration_texts()):
            (folder / file).write_text(text)
        (folder / name).write_bytes(data)
        read = {'choice.json': read_choice, 'sweep.csv': read_sweep}[name]
        found = outcome(read, folder / name)
        if found != REFUSED and name == 'choice.json':
            found.write(folder / 'again.json')
        outcome(write_page, folder)

    return check


def check_rules(folder: Path, data: bytes) -> None:
    from lt_det.calibration.settings import read_settings

    (folder / 'rules.json').write_bytes(data)
    outcome(read_settings, folder / 'rules.json', 'softmax')


RULES = {'rules': [{'type': 'NorCal', 'gamma': 0.5}, [{'type': 'Temperature', 'temperature': 2.0}]]}
STATE = {'done': 3, 'rows': [0, 0], 'of': {'a': 'b'}}


def check_spool(folder: Path, data: bytes) -> None:
    from lt_det.calibration.spool import Spool, images_done

    spool = folder / 'spool'
    spool.mkdir(exist_ok=True)
    (spool / 'state.json').write_bytes(data)
    assert isinstance(images_done(spool), int)
    found = outcome(Spool, spool, 2, {'a': 'b'}, True)
    if found != REFUSED:
        for number in range(2):
            outcome(found.rows, number)


# ------------------------------------------------------------------------------------ reports


FOLDERS: list = []


@cache
def run_folders() -> dict[str, Any]:
    """Files by name of a detector and a classifier, and what is made of them."""
    import tempfile

    from lt_det.report.page.data import collect

    found = {}
    for kind, make in (('detector', files.detector_run), ('classifier', files.classifier_run)):
        kept = tempfile.TemporaryDirectory(prefix='breakage')
        FOLDERS.append(kept)  # removed at the end of the process
        folder = Path(kept.name)
        make(folder)
        contents = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*')
            if path.is_file()
        }
        found[kind] = folder, contents, collect(folder, resamples=2)
    return found


def check_run(kind: str, name: str, equal: bool = False) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from lt_det.report.page.build import build
        from lt_det.report.page.data import collect

        home, contents, good = run_folders()[kind]
        for file, content in contents.items():
            (home / file).write_bytes(content)
        (home / name).write_bytes(data)
        page = outcome(collect, home, None, 2)
        if page != REFUSED:
            build(page)
            if equal:
                agree(page, good, 'the page')

    return check


@st.composite
def broken_npz(draw: Callable, make: Callable[[], dict[str, np.ndarray]]) -> Broken:
    arrays = dict(make())
    name = draw(st.sampled_from(sorted(arrays)))
    if draw(st.integers(0, 5)) == 0:
        del arrays[name]
        return Broken(f'{name} missing', files.npz_bytes(arrays))
    change = draw(st.sampled_from([change for change, _ in ARRAYS]))
    arrays[name] = broken_array(arrays[name], change)
    return Broken(f'{name}: {change}', files.npz_bytes(arrays))


@cache
def detector_arrays() -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(run_folders()['detector'][1]['predictions.npz'])) as file:
        return dict(file.items())


# ------------------------------------------------------------------------------------- checkpoints


def check_checkpoint(equal: bool) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from mmengine.runner.checkpoint import CheckpointLoader

        from lt_det.compat.checkpoint import restrict_checkpoint_loading
        from lt_det.compat.convert import convert_checkpoint

        restrict_checkpoint_loading()
        path = folder / 'a.pth'
        path.write_bytes(data)
        found = outcome(CheckpointLoader.load_checkpoint, str(path), 'cpu')
        if isinstance(found, str) and found == REFUSED:
            return
        if equal:
            agree(found, files.checkpoint(), 'the checkpoint')
        outcome(convert_checkpoint, found)

    return check


@st.composite
def broken_content(draw: Callable, content: object, write: Callable[[object], bytes]) -> Broken:
    how, changed = draw(broken_tree(content))
    return Broken(how, write(changed))


def check_config(folder: Path, data: bytes) -> None:
    from argparse import Namespace

    from lt_det.cli.common import load_config

    (folder / 'mine.py').write_bytes(data)
    outcome(load_config, Namespace(config=str(folder / 'mine.py'), cfg_options=None))


# ------------------------------------------------------------------------------- images and caches


def check_image(ending: str) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        import cv2

        from lt_det.datasets.image_check import inspect_images

        path = folder / f'a{ending}'
        path.write_bytes(data)
        facts = inspect_images([path])
        if facts.problem[0] is None and ending != '.jpg':
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if decoded is not None:
                agree(decoded.shape[:2], (facts.height[0], facts.width[0]), 'size')

    return check


def check_features(folder: Path, data: bytes) -> None:
    from lt_det.datasets.feature_cache import FEATURES, MARK, FeatureCacheDataset

    name, _, content = data.partition(b'\n')
    for file, good in (
        (FEATURES, files.npy_bytes(np.ones((1, 3, 2), np.float32))),
        (MARK, b'{"weights": "w", "data": "d", "views": 1, "images": 3}'),
    ):
        (folder / file).write_bytes(content if file == name.decode() else good)
    cache_of = FeatureCacheDataset.__new__(FeatureCacheDataset)
    cache_of.folder, cache_of.views, cache_of.replace, cache_of.seed = folder, 1, False, 0
    cache_of.dataset, cache_of.labels = range(3), np.zeros(3, np.int64)
    cache_of.data_key = lambda: 'd'
    cache_of._compute = lambda *arguments: None

    def read() -> None:
        cache_of.open('w', len)
        for item in cache_of.__getitems__([0, 1, 2]):
            assert item['inputs'].shape == (2,)

    outcome(read)


@st.composite
def broken_features(draw: Callable) -> Broken:
    if draw(st.booleans()):
        content = {'weights': 'w', 'data': 'd', 'views': 1, 'images': 3}
        how, data = draw(broken_json(content))
        return Broken(how, b'cache.json\n' + data)
    array = np.ones((1, 3, 2), np.float32)
    if draw(st.booleans()):
        how, data = draw(broken_bytes(files.npy_bytes(array)))
    else:
        how = draw(st.sampled_from([change for change, _ in ARRAYS]))
        data = files.npy_bytes(broken_array(array, how))
    return Broken(f'features: {how}', b'features.npy\n' + data)


# ---------------------------------------------------------------------------------------- subjects


def from_calibration(index: int) -> st.SearchStrategy:
    return st.deferred(lambda: _of_calibration(index))


@cache
def _of_calibration(index: int) -> st.SearchStrategy:
    text = calibration_texts()[index]
    return broken_lines(text) if index else broken_json(json.loads(text))


@cache
def _of_run(kind: str, name: str) -> st.SearchStrategy:
    data = run_folders()[kind][1][name]
    if name.endswith('.npz'):
        return broken_bytes(data)
    return broken_lines(data.decode()) if 'scalars' in name else broken_json(json.loads(data))


def from_run(kind: str, name: str) -> st.SearchStrategy:
    return st.deferred(lambda: _of_run(kind, name))


SCALARS = os.path.join('1', 'vis_data', 'scalars.json')
SUBJECTS: dict[str, Subject] = {
    'LVIS annotations': Subject(broken_json(files.annotations()), check_annotations),
    'COCO annotations': Subject(broken_json(files.annotations(False)), check_annotations),
    'column cache': Subject(broken_column(), check_columns),
    'results': Subject(broken_json(files.results()), check_results),
    'results with masks': Subject(broken_json(files.results(True)), check_mask_results),
    'results of MMDetection': Subject(
        broken_content(files.mmdetection_samples(), files.pickle_bytes), check_foreign('a.pkl')
    ),
    'results of MMDetection, bytes': Subject(
        broken_bytes(files.pickle_bytes(files.mmdetection_samples())), check_foreign('a.pkl')
    ),
    'results of Detectron2': Subject(
        broken_content(files.detectron2_samples(), files.torch_bytes), check_foreign('a.pth')
    ),
    'list file': Subject(broken_lines(files.list_file()), check_list_file),
    'word file': Subject(broken_lines(files.word_file()), check_words),
    'vocabulary': Subject(broken_lines(files.lines(files.WORDS)), check_vocabulary),
    'class names': Subject(broken_lines(files.lines(files.NAMES)), check_class_names),
    'class names of a json': Subject(
        broken_json({'categories': [{'id': 2, 'name': 'a'}, {'id': 1, 'name': 'b'}]}),
        check_categories,
    ),
    'word vectors': Subject(broken_lines(files.word_vectors()), check_word_vectors),
    'ids of images': Subject(broken_lines('1\n2\n3\n'), check_image_ids),
    'choice': Subject(from_calibration(0), check_calibration('choice.json')),
    'sweep': Subject(from_calibration(1), check_calibration('sweep.csv')),
    'rules': Subject(broken_json(RULES), check_rules),
    'state of a sweep': Subject(broken_json(STATE), check_spool),
    'metrics': Subject(from_run('detector', 'metrics.json'), check_run('detector', 'metrics.json')),
    'note of a run': Subject(from_run('detector', 'run.json'), check_run('detector', 'run.json')),
    'log': Subject(from_run('detector', SCALARS), check_run('detector', SCALARS)),
    'kept detections, bytes': Subject(
        from_run('detector', 'predictions.npz'), check_run('detector', 'predictions.npz', True)
    ),
    'kept detections': Subject(
        broken_npz(detector_arrays), check_run('detector', 'predictions.npz')
    ),
    'metrics of a classifier': Subject(
        from_run('classifier', 'metrics.json'), check_run('classifier', 'metrics.json')
    ),
    'note of a classifier': Subject(
        from_run('classifier', 'run.json'), check_run('classifier', 'run.json')
    ),
    'classified, bytes': Subject(
        from_run('classifier', 'predictions.npz'), check_run('classifier', 'predictions.npz', True)
    ),
    'classified': Subject(broken_npz(files.classified), check_run('classifier', 'predictions.npz')),
    'checkpoint, bytes': Subject(
        broken_bytes(files.torch_bytes(files.checkpoint())), check_checkpoint(True)
    ),
    'checkpoint': Subject(
        broken_content(files.checkpoint(), files.torch_bytes), check_checkpoint(False)
    ),
    'config': Subject(broken_lines(files.CONFIG), check_config),
    'feature cache': Subject(broken_features(), check_features),
    **{
        f'image {ending}': Subject(broken_bytes(files.image(ending)), check_image(ending))
        for ending in ('.jpg', '.png', '.bmp', '.webp')
    },
}


@st.composite
def cases(draw: Callable) -> tuple[str, Broken]:
    """A kind of file, and one that is broken."""
    name = draw(st.sampled_from(list(SUBJECTS)))
    return name, draw(SUBJECTS[name].broken)


def check(name: str, folder: Path, data: bytes) -> None:
    """Read broken content, warnings of data set aside."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        SUBJECTS[name].check(folder, data)
