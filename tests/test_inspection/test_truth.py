"""What an inspection says of a defect is what training and evaluation do."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from lt_det.datasets import LongTailLVISDataset
from lt_det.engine import ClassFrequencyHook
from lt_det.errors import BadInputError
from lt_det.evaluation.ground_truth import GroundTruth
from lt_det.inspection import Inspection, inspect_files
from lt_det.inspection.kinds import ANNOTATION_KINDS
from tests.test_inspection.defects import ANNOTATIONS, OTHERS, REFUSED, content_of

MASKS = [dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)]
FILTER = dict(filter_empty_gt=True, min_size=32)  # of the configs

pytestmark = pytest.mark.filterwarnings('ignore::lt_det.errors.DataWarning')


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def load(path: Path, **kwargs) -> LongTailLVISDataset:
    return LongTailLVISDataset(ann_file=str(path), check_images=False, pipeline=MASKS, **kwargs)


def start_training(train: Path, val: Path) -> LongTailLVISDataset:
    """What happens before the first iteration."""
    datasets = [load(train, filter_cfg=FILTER), load(val, test_mode=True)]
    loops = [SimpleNamespace(dataloader=SimpleNamespace(dataset=one)) for one in datasets]
    runner = SimpleNamespace(
        _train_loop=loops[0],
        _val_loop=loops[1],
        hooks=[],
        model=nn.Identity(),
        cfg={},
        logger=logging.getLogger('inspection'),
    )
    ClassFrequencyHook().before_run(runner)
    return datasets[0]


def start_evaluation(path: Path, masks: bool = True) -> GroundTruth:
    load(path, test_mode=True)
    truth = GroundTruth(str(path))
    if masks:
        truth.check_masks()
    return truth


def refused(start, *paths: Path) -> str:
    """The message of an error; empty without."""
    try:
        start(*paths)
    except BadInputError as error:
        return str(error)
    return ''


def number(inspection: Inspection, what: str, effect: str, counted: str) -> int:
    """How many annotations or images of the first file are dropped or ignored."""
    return sum(
        problem.count
        for problem in inspection.problems
        if problem.counted == counted and getattr(problem, effect).what == what
    )


def assert_true(train: Path, val: Path) -> Inspection:
    """Compare an inspection of the file alone with what training and evaluation do."""
    inspection = inspect_files(train)
    effects = [problem.training.what for problem in inspection.problems]
    message = refused(start_training, train, val)
    assert bool(message) == ('refused' in effects)
    lost = {'refused', 'dropped', 'ignored'} & {
        problem.training.what
        for problem in inspection.problems
        if problem.kind not in ('crowd', 'image_empty', 'corners')
    }
    suspicious = any(problem.kind == 'corners' for problem in inspection.problems)
    assert inspection.status == int(bool(lost) or suspicious)
    if not message:
        items = [load(train).get_data_info(i) for i in range(inspection.classes.num_images)]
        ignored = [i['ignore_flag'] for item in items for i in item['instances']]
        total = inspection.classes.num_annotations
        assert len(ignored) == total - number(inspection, 'dropped', 'training', 'annotations')
        assert sum(ignored) == number(inspection, 'ignored', 'training', 'annotations')
        kept = start_training(train, val)
        images = inspection.classes.num_images
        assert len(kept) == images - number(inspection, 'dropped', 'training', 'images')
        found = {p.kind: p.count for p in inspection.problems}
        learned = len(ignored) - sum(ignored) + found.get('mask_missing', 0)
        assert inspection.classes.num_instances == learned

    effects = [problem.evaluation.what for problem in inspection.problems]
    assert bool(refused(start_evaluation, train)) == ('refused' in effects)
    if not refused(lambda path: start_evaluation(path, masks=False), train):
        truth = start_evaluation(train, masks=False)
        total = inspection.classes.num_annotations
        assert len(truth.rows) == total - number(inspection, 'dropped', 'evaluation', 'annotations')
        ignored = truth.ignore | ((truth.areas < 0) & (truth.protocol == 'coco'))
        assert ignored.sum() == number(inspection, 'ignored', 'evaluation', 'annotations')
    return inspection


@pytest.mark.parametrize('federated', [True, False])
@pytest.mark.parametrize(('kind', 'count', 'apply'), ANNOTATIONS + OTHERS + REFUSED)
def test_every_kind(tmp_path, kind, count, apply, federated):
    if not federated and ('negative' in kind or 'category_ids' in kind):
        pytest.skip('a problem of federated lists')
    val = write(tmp_path / 'val.json', content_of(federated=federated))
    content = content_of(federated=federated)
    apply(content)
    if kind == 'class_empty':
        both = content_of(federated=federated)
        apply(both)
        write(val, both)
    train = write(tmp_path / 'train.json', content)
    inspection = assert_true(train, val)
    found = {problem.kind: problem for problem in inspection.problems}
    assert found[kind].count == count
    assert 1 <= len(found[kind].first) <= count
    if (kind, count, apply) in REFUSED:
        for start in (start_training, start_evaluation):
            paths = (train, val) if start is start_training else (train,)
            assert refused(start, *paths) == f'{train}: {found[kind].text}'
            assert found[kind] == inspection.problems[0]


def test_plain_files_have_no_problem(tmp_path):
    for federated in (True, False):
        train = write(tmp_path / 'train.json', content_of(federated=federated))
        val = write(tmp_path / 'val.json', renamed(content_of(federated=federated)))
        assert assert_true(train, val).problems == []
        inspection = inspect_files(train, val)
        assert (inspection.status, inspection.problems) == (0, [])


def renamed(content: dict) -> dict:
    for image in content['images']:
        image['file_name'] = f'val/{image["id"]}.png'
    return content


def swapped(content: dict) -> None:
    first, second = content['categories'][:2]
    first['name'], second['name'] = second['name'], first['name']


PAIRS = [
    ('class_order', 2, swapped),
    ('class_ids', 4, lambda c: shift_ids(c, 10)),
    ('class_group', 3, lambda c: [k.update(frequency=f) for k, f in zip(c['categories'], 'ccfr')]),
    ('class_train_only', 1, lambda c: take_class(c, 4)),
    ('class_val_only', 1, lambda c: c['categories'].append(dict(id=8, name='new'))),
    ('image_in_both', 2, lambda c: [i.update(file_name=f'{i["id"]}.png') for i in c['images'][:2]]),
]


def shift_ids(content: dict, by: int) -> None:
    for category in content['categories']:
        category['id'] += by
    for annotation in content['annotations']:
        annotation['category_id'] += by
    for image in content['images']:
        image.update(neg_category_ids=[])


def take_class(content: dict, number: int) -> None:
    content['categories'] = [c for c in content['categories'] if c['id'] != number]
    content['annotations'] = [a for a in content['annotations'] if a['category_id'] != number]
    for image in content['images']:
        image.update(neg_category_ids=[])


@pytest.mark.parametrize(('kind', 'count', 'apply'), PAIRS)
def test_every_kind_between_two_files(tmp_path, kind, count, apply):
    train = write(tmp_path / 'train.json', content_of())
    content = renamed(content_of())
    apply(content)
    val = write(tmp_path / 'val.json', content)
    inspection = inspect_files(train, val)
    found = {problem.kind: problem for problem in inspection.problems}
    assert (found[kind].count, found[kind].file) == (count, 'both')
    says_so = found[kind].training.what == 'refused'
    assert bool(refused(start_training, train, val)) == says_so
    assert inspection.status == int(says_so or kind == 'image_in_both')


def test_every_kind_is_tested():
    tested = {kind for kind, *_ in ANNOTATIONS + OTHERS + REFUSED + PAIRS}
    assert tested | {'evaluation_refused'} == {*ANNOTATION_KINDS}


@pytest.mark.parametrize(
    ('apply', 'message'),
    [
        (lambda c: c['categories'][0].update(frequency='x'), ''),
        (lambda c: c['images'][0].update(id=-1), 'image with id -1; expected ids of at least 0'),
    ],
)
def test_what_evaluation_alone_refuses(tmp_path, apply, message):
    content = content_of()
    for category in content['categories']:
        category['frequency'] = 'f'
    for annotation in content['annotations'][:3]:
        annotation['image_id'] = content['images'][0]['id']
    apply(content)
    for annotation in content['annotations'][:3]:
        annotation['image_id'] = content['images'][0]['id']
    path = write(tmp_path / 'a.json', content)
    inspection = assert_true(path, write(tmp_path / 'val.json', content_of()))
    (problem,) = inspection.problems
    assert problem.kind == 'evaluation_refused'
    assert message in problem.text
    assert inspection.status == 0  # of a training file
    train = write(tmp_path / 'train.json', content_of())
    assert inspect_files(train, path).status == 1


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(range(len(ANNOTATIONS)))), max_size=12)
)
def test_any_mixture_of_defects(tmp_path, chosen):
    content = content_of(10)
    for row, defect in dict(chosen).items():
        part = dict(annotations=[content['annotations'][row]] * 2)
        ANNOTATIONS[defect][2](part)
    val = write(tmp_path / 'val.json', content_of())
    assert_true(write(tmp_path / 'train.json', content), val)
