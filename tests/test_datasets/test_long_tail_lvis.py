import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import LVISV1Dataset
from mmengine.dataset import ClassBalancedDataset
from torch.utils.data import DataLoader

from lt_det.datasets import LongTailLVISDataset
from lt_det.errors import BadInputError, MissingFileError
from lt_det.formats import annotation_cache
from lt_det.formats.annotation_cache import cache_folder, load_columns
from lt_det.frequency import ClassFrequency

from ..generated_lvis import lvis_content

# the made-up file has everything that is dropped
pytestmark = pytest.mark.filterwarnings('ignore::lt_det.errors.DataWarning')

TRAIN = 'annotations/glyphs_train.json'


def build(root: Path, ann_file: str = TRAIN, **kwargs) -> LongTailLVISDataset:
    return LongTailLVISDataset(data_root=str(root), ann_file=ann_file, pipeline=[], **kwargs)


def edited(root: Path, tmp_path: Path, edit) -> Path:
    """A copy of the training annotations after ``edit(content)``."""
    content = json.loads((root / TRAIN).read_text())
    edit(content)
    path = tmp_path / 'edited.json'
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize('filter_cfg', [None, dict(filter_empty_gt=True, min_size=480)])
def test_items_order_and_filter_are_those_of_mmdet_on_lvis_annotations(lvis_file, filter_cfg):
    arguments = dict(
        ann_file=str(lvis_file),
        data_prefix=dict(img=''),
        pipeline=[],
        filter_cfg=filter_cfg,
    )
    ours = LongTailLVISDataset(check_images=False, **arguments)
    theirs = LVISV1Dataset(metainfo=dict(classes=ours.metainfo['classes']), **arguments)
    assert len(ours) == len(theirs) > 0
    for index in range(len(ours)):
        mine, stock = ours.get_data_info(index), theirs.get_data_info(index)
        assert mine['img_path'] == stock['img_path'].replace('http://images.cocodataset.org/', '')
        for key in ('img_id', 'height', 'width', 'instances'):
            assert mine[key] == stock[key]
    categories = json.loads(lvis_file.read_text())['categories']
    assert list(ours.metainfo['classes']) == [category['name'] for category in categories]


@pytest.fixture(params=['parsed', 'cached'])
def generated(request, tmp_path, monkeypatch) -> str:
    """A made-up file, read as it is and through a cache."""
    path = tmp_path / 'generated.json'
    content = lvis_content(seed=3)
    content['categories'].sort(key=lambda category: category['id'])  # mmdet does not sort them
    path.write_text(json.dumps(content))
    if request.param == 'cached':
        monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
        load_columns(path)
    return str(path)


def pair(path: str, **kwargs) -> tuple[LongTailLVISDataset, LVISV1Dataset]:
    arguments = dict(ann_file=path, data_prefix=dict(img='images'), pipeline=[], **kwargs)
    ours = LongTailLVISDataset(check_images=False, **arguments)
    return ours, LVISV1Dataset(metainfo=dict(classes=ours.metainfo['classes']), **arguments)


def assert_same_items(ours: LongTailLVISDataset, theirs: LVISV1Dataset) -> None:
    assert len(ours) == len(theirs) > 0
    for index in [*range(len(ours)), -1]:
        mine, stock = ours.get_data_info(index), theirs.get_data_info(index)
        for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
            del mine[key]
        assert mine == stock
        assert ours.get_cat_ids(index) == theirs.get_cat_ids(index)


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(filter_cfg=dict(filter_empty_gt=True, min_size=150)),
        dict(filter_cfg=dict(min_size=150)),
        dict(filter_cfg=dict(filter_empty_gt=True)),
        dict(filter_cfg=dict(filter_empty_gt=True, min_size=150), test_mode=True),
        dict(indices=7),
        dict(indices=-7),
        dict(indices=[5, 3, 3, 0], filter_cfg=dict(filter_empty_gt=True)),
        dict(serialize_data=False),
        dict(return_classes=True),
    ],
)
def test_items_are_those_of_mmdet_on_generated_annotations(generated, kwargs):
    ours, theirs = pair(generated, **kwargs)
    assert_same_items(ours, theirs)


def test_lazy_init(generated):
    ours, theirs = pair(generated)
    lazy = LongTailLVISDataset(
        ann_file=generated, data_prefix=dict(img='images'), check_images=False, lazy_init=True
    )
    assert_same_items(lazy, theirs)
    assert lazy.class_frequency == ours.class_frequency


def test_subsets_and_copies_have_the_same_items(generated):
    ours, theirs = pair(generated)
    for indices in (5, -5, [9, 1, 1, 4]):
        assert_same_items(ours.get_subset(indices), theirs.get_subset(indices))
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert_same_items(other, theirs)
        assert other.columns.arrays['bbox'] is not None
    ours.get_subset_([2, 0])
    theirs.get_subset_([2, 0])
    assert_same_items(ours, theirs)


@pytest.mark.parametrize('generated', ['cached'], indirect=True)  # pickled, as a copy is above
def test_a_new_process_has_the_same_items(generated):
    ours, theirs = pair(generated)
    loader = DataLoader(ours, num_workers=1, multiprocessing_context='spawn', collate_fn=list)
    ids = [item['img_id'] for batch in loader for item in batch]
    assert ids == [theirs.get_data_info(index)['img_id'] for index in range(len(theirs))]


def test_items_of_some_classes_are_those_of_all_without_the_others(generated):
    everything = LongTailLVISDataset(ann_file=generated, pipeline=[], check_images=False)
    names = everything.metainfo['classes']
    classes = (names[3], names[1], names[8])
    some = LongTailLVISDataset(
        ann_file=generated, pipeline=[], check_images=False, metainfo=dict(classes=classes)
    )
    new_label = {3: 0, 1: 1, 8: 2}
    for index in range(len(everything)):
        expected = [
            {**instance, 'bbox_label': new_label[instance['bbox_label']]}
            for instance in everything.get_data_info(index)['instances']
            if instance['bbox_label'] in new_label
        ]
        assert some.get_data_info(index)['instances'] == expected
        assert some.get_cat_ids(index) == [instance['bbox_label'] for instance in expected]


def test_all_cat_ids_are_those_of_the_items(generated):
    dataset, _ = pair(generated, indices=[5, 3, 3, 0, 11, 12])
    items, labels = dataset.all_cat_ids()
    for index in range(len(dataset)):
        assert labels[items == index].tolist() == dataset.get_cat_ids(index)


def test_proposals_go_into_the_items(generated, tmp_path):
    _, theirs = pair(generated)
    names = [f'train2017/{theirs.get_data_info(i)["img_id"]:012d}.jpg' for i in range(len(theirs))]
    (tmp_path / 'proposals.json').write_text(json.dumps({name: [name] for name in names}))
    arguments = dict(proposal_file=str(tmp_path / 'proposals.json'), indices=9)
    assert_same_items(*pair(generated, **arguments))


def test_cache_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setattr(annotation_cache, 'SMALLEST', 0)
    path = tmp_path / 'generated.json'
    path.write_text(json.dumps(lvis_content()))
    arguments = dict(ann_file=str(path), pipeline=[], check_images=False)
    LongTailLVISDataset(cache=False, **arguments)
    assert not cache_folder(path).exists()
    LongTailLVISDataset(**arguments)
    assert cache_folder(path).is_dir()


def test_federated_lists_and_counts_are_those_of_the_file(lvis_file):
    dataset = LongTailLVISDataset(ann_file=str(lvis_file), pipeline=[], check_images=False)
    images = {image['id']: image for image in json.loads(lvis_file.read_text())['images']}
    assert len(dataset) == 100
    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
            assert item[key] == images[item['img_id']][key]
        assert item['img_path'].startswith(('val2017/', 'train2017/'))
    assert dataset.class_frequency == ClassFrequency.from_annotation_file(lvis_file)
    assert dataset.class_frequency.num_images == 100


def test_statistics_do_not_depend_on_the_filter_or_on_repetition(tiny_glyphs):
    plain = build(tiny_glyphs)
    few = build(tiny_glyphs, metainfo=dict(classes=(plain.metainfo['classes'][0],)))
    filtered = build(
        tiny_glyphs, metainfo=few.metainfo, filter_cfg=dict(filter_empty_gt=True, min_size=32)
    )
    assert 0 < len(filtered) < len(few) == len(plain)
    assert filtered.class_frequency == few.class_frequency
    with pytest.raises(BadInputError, match='no image of .* is left'):
        build(tiny_glyphs, filter_cfg=dict(min_size=10_000))
    repeated = ClassBalancedDataset(plain, oversample_thr=0.5)
    assert len(repeated) > len(plain)
    expected = ClassFrequency.from_annotation_file(tiny_glyphs / TRAIN)
    for dataset in (plain, repeated):
        assert ClassFrequency.from_dataset(dataset) == expected


def test_selection_of_classes(tiny_glyphs):
    everything = build(tiny_glyphs)
    names = everything.metainfo['classes']
    some = build(tiny_glyphs, metainfo=dict(classes=(names[3], names[1])))
    assert some.metainfo['classes'] == (names[3], names[1])
    counts = everything.class_frequency.image_count
    np.testing.assert_array_equal(some.class_frequency.image_count, counts[[3, 1]])
    with pytest.raises(BadInputError, match="'unheard_of'"):
        build(tiny_glyphs, metainfo=dict(classes=('unheard_of',)))


def test_annotation_file_that_is_not_there_or_not_lvis(tiny_glyphs, tmp_path):
    with pytest.raises(MissingFileError, match=r'gone\.json does not exist \(LVIS: www\.lvis'):
        build(tiny_glyphs, 'gone.json')
    for text, message in (
        ('{"images": [', 'not a json file'),
        ('[1]', "no list 'images', found list"),
    ):
        (tmp_path / 'bad.json').write_text(text)
        with pytest.raises(BadInputError, match=message):
            build(tiny_glyphs, str(tmp_path / 'bad.json'))


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda c: c['annotations'][3].update(category_id=99), 'annotation 4 has category_id 99'),
        (lambda c: c['annotations'][3].update(image_id=999), 'annotation 4 has image_id 999'),
        (lambda c: c['annotations'][3].update(id=1), 'id 1 occurs more than once in annotations'),
        (lambda c: c['annotations'][3].pop('bbox'), "annotation 4 has no 'bbox'"),
        (lambda c: c.pop('categories'), "no list 'categories'"),
    ],
)
def test_defects_of_an_annotation_file_are_named(tiny_glyphs, tmp_path, edit, message):
    path = edited(tiny_glyphs, tmp_path, edit)
    with pytest.raises(BadInputError, match=message):
        build(tiny_glyphs, str(path))


def test_missing_and_broken_images_are_named(tiny_glyphs, tmp_path):
    root = tmp_path / 'copy'
    shutil.copytree(tiny_glyphs, root)
    victim = sorted((root / 'train').iterdir())[4]
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(BadInputError, match=f'1 of .* are broken, the first is {victim}'):
        build(root)
    victim.unlink()
    with pytest.raises(MissingFileError, match=f'1 of .* are missing, the first is {victim}'):
        build(root)
    assert len(build(root, check_images=False)) > 0
