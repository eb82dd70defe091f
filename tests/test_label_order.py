"""Names of classes follow the labels of stock data sets, which their json numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config

from lt_det.errors import BadInputError, DataWarning
from lt_det.label_order import (
    check_categories,
    check_order,
    classes_of,
    first_moved,
    follow_json,
    label_order,
    numbers_by_json,
    put_in_label_order,
)

NAMES = ('zebra', 'ant', 'cat')  # with ids 7, 2, 5
SORTED = tuple(sorted(NAMES))
IDS = dict(zip(NAMES, (7, 2, 5), strict=True))


def annotations(folder: Path, name: str, names: tuple[str, ...] = NAMES) -> str:
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=8, height=8)],
        categories=[dict(id=IDS[name], name=name) for name in names],
        annotations=[
            dict(id=number, image_id=1, category_id=number_of, bbox=[0, 0, 4, 4], area=16)
            for number, number_of in enumerate(IDS.values())
        ],
    )
    for annotation in content['annotations']:
        annotation['iscrowd'] = 0
    (folder / name).write_text(json.dumps(content))
    return name


def config(folder: Path, classes: tuple[str, ...], val: tuple[str, ...] = NAMES, **more) -> Config:
    metainfo = dict(classes=classes, palette=[(number, 0, 0) for number in range(len(classes))])
    common = dict(type='CocoDataset', data_root=str(folder), metainfo=metainfo, **more)
    loaders = {
        part: dict(dataset=dict(common, ann_file=annotations(folder, f'{part}.json', names)))
        for part, names in (('train', NAMES), ('val', val))
    }
    return Config(
        dict(
            train_dataloader=loaders['train'],
            val_dataloader=dict(dataset=dict(type='RepeatDataset', **loaders['val'])),
            val_evaluator=dict(type='CocoMetric'),
        )
    )


def test_names_are_put_in_the_order_of_the_labels(tmp_path):
    cfg = config(tmp_path, SORTED)
    with pytest.warns(DataWarning, match="label 0 is 'zebra', not 'ant'"):
        put_in_label_order(cfg)
    for metainfo in (
        cfg.train_dataloader.dataset.metainfo,
        cfg.val_dataloader.dataset.dataset.metainfo,
    ):
        assert metainfo == dict(classes=list(NAMES), palette=[(2, 0, 0), (0, 0, 0), (1, 0, 0)])
    options = cfg.train_dataloader.dataset.to_dict() | dict(data_prefix=dict(img=''), pipeline=[])
    options.pop('type')
    labels = [one['bbox_label'] for one in CocoDataset(**options)[0]['instances']]
    assert [cfg.train_dataloader.dataset.metainfo.classes[k] for k in labels] == list(NAMES)
    check_order(cfg, 'val')


@pytest.mark.parametrize(
    ('classes', 'more'),
    [
        (NAMES, {}),
        ((*SORTED, 'none'), {}),
        (('zebra', 'cat'), {}),
        (SORTED, dict(type='LongTailLVISDataset')),
        (SORTED, dict(data_root='nowhere')),
    ],
)
def test_nothing_is_changed_where_they_are_in_order_or_unknown(classes, more, tmp_path):
    cfg = config(tmp_path, classes)
    for loader in (cfg.train_dataloader, cfg.val_dataloader.dataset):
        loader.dataset.update(more)
    with warnings.catch_warnings():
        warnings.simplefilter('error', DataWarning)
        put_in_label_order(cfg)
    assert tuple(cfg.train_dataloader.dataset.metainfo.classes) == classes
    put_in_label_order(Config(dict(model=dict(type='DINO'))))


def test_an_evaluation_by_another_order_is_refused(tmp_path):
    cfg = config(tmp_path, NAMES, val=NAMES[::-1])
    put_in_label_order(cfg)
    with pytest.raises(
        BadInputError, match=r"val.json: .* label 0 is 'cat', in training 'zebra'.*LongTailLVIS"
    ):
        check_order(cfg, 'val')
    cfg.val_evaluator = dict(type='LongTailLVISMetric')
    check_order(cfg, 'val')


def test_names_of_a_checkpoint(tmp_path):
    """One that MMDetection has saved has them as the config wrote them."""
    cfg = config(tmp_path, SORTED, val=NAMES[::-1])
    assert label_order(cfg, SORTED) == NAMES == label_order(cfg, NAMES)
    assert label_order(cfg, ('ant', 'dog')) == ('ant', 'dog')
    cfg.train_dataloader.dataset.ann_file = 'none.json'
    assert label_order(cfg, SORTED) == NAMES[::-1]


def coco(folder: Path, names: tuple[str, ...], classes: tuple[str, ...] | None, **more) -> dict:
    metainfo = {} if classes is None else dict(metainfo=dict(classes=classes))
    ann_file = annotations(folder, f'{"_".join(names)}.json', names)
    return (
        dict(dict(type='CocoDataset', data_root=str(folder), ann_file=ann_file), **metainfo) | more
    )


def loaders(**datasets: dict) -> Config:
    parts = {f'{part}_dataloader': dict(dataset=data) for part, data in datasets.items()}
    return Config({**parts, 'val_evaluator': dict(type='CocoMetric')})


@DATASETS.register_module()
class AnimalDataset(CocoDataset):
    """As the tutorial of MMDetection has it: the names are of the class, not of the config."""

    METAINFO = dict(classes=SORTED, palette=[(0, 0, 0)] * 3)


def test_a_data_set_of_ones_own_is_numbered_by_its_json_too(tmp_path):
    data = coco(tmp_path, NAMES, None, type='AnimalDataset')
    assert numbers_by_json(data) and classes_of(data) == SORTED
    cfg = loaders(train=data, val=data)
    assert label_order(cfg, SORTED) == NAMES
    with pytest.warns(DataWarning, match="label 0 is 'zebra', not 'ant'"):
        put_in_label_order(cfg)
    assert cfg.val_dataloader.dataset.metainfo.classes == list(NAMES)
    options = cfg.train_dataloader.dataset.to_dict() | dict(data_prefix=dict(img=''), pipeline=[])
    built = DATASETS.build(options)
    labels = [one['bbox_label'] for one in built[0]['instances']]
    assert [built.metainfo['classes'][k] for k in labels] == list(NAMES)


def test_what_overrides_the_numbers_is_not_numbered_by_its_json(tmp_path):
    for kind in ('LVISV1Dataset', 'LongTailLVISDataset', 'no such type', 'Objects365V1Dataset'):
        assert not numbers_by_json(coco(tmp_path, NAMES, NAMES, type=kind))


def test_joined_data_sets_are_numbered_by_their_json(tmp_path):
    parts = [coco(tmp_path, NAMES, SORTED), coco(tmp_path, NAMES, SORTED)]
    cfg = loaders(train=dict(type='ConcatDataset', datasets=parts))
    assert follow_json(cfg)
    with pytest.warns(DataWarning, match="label 0 is 'zebra', not 'ant'"):
        put_in_label_order(cfg)
    classes = [part.metainfo.classes for part in cfg.train_dataloader.dataset.datasets]
    assert classes == [list(NAMES)] * 2
    parts[1] = coco(tmp_path, NAMES, SORTED, type='LongTailLVISDataset')
    assert not follow_json(loaders(train=dict(type='ConcatDataset', datasets=parts)))


def test_a_json_without_some_classes_is_refused(tmp_path):
    """CocoDataset would give the label of each class behind it to another."""
    whole, part = coco(tmp_path, NAMES, NAMES), coco(tmp_path, NAMES[::2], NAMES)
    message = r"zebra_cat.json has no category 'ant' \(1 of 3 are missing\).*file: 'zebra', 'cat'$"
    with pytest.raises(BadInputError, match=rf'^train_dataloader\.dataset\.metainfo.*{message}'):
        check_categories(loaders(train=part), 'train')
    with pytest.raises(BadInputError, match=rf'^val_dataloader\.dataset\.metainfo.*{message}'):
        check_order(loaders(train=whole, val=part), 'val')
    check_order(loaders(train=part, val=part), 'val')  # the same labels
    check_categories(loaders(train=whole), 'train')
    check_categories(loaders(train={**part, 'data_root': 'nowhere'}), 'train')


def test_classes_that_nobody_gave_are_those_of_coco(tmp_path):
    cfg = loaders(train=coco(tmp_path, NAMES, None))
    cfg.train_dataloader.dataset.metainfo = dict(CLASSES=NAMES)  # as in MMDetection 2.x
    with pytest.raises(BadInputError, match=r'metainfo has no classes, so that those of CocoData'):
        check_categories(cfg, 'train')


def test_classes_in_a_file(tmp_path):
    (tmp_path / 'names.txt').write_text('\n'.join(SORTED))
    data = coco(tmp_path, NAMES, str(tmp_path / 'names.txt'))
    assert classes_of(data) == SORTED
    with pytest.warns(DataWarning, match="label 0 is 'zebra', not 'ant'"):
        put_in_label_order(cfg := loaders(train=data))
    assert cfg.train_dataloader.dataset.metainfo.classes == list(NAMES)


def test_an_order_that_no_json_tells_is_said(tmp_path):
    cfg = loaders(train=coco(tmp_path, NAMES, SORTED, data_root='nowhere'))
    with pytest.warns(DataWarning, match=r'none of nowhere/zebra_ant_cat\.json is there'):
        assert label_order(cfg, SORTED) == SORTED


@pytest.mark.parametrize(
    ('names', 'known', 'label'),
    [
        ('abc', 'abc', None),
        ('aBc', 'abc', None),  # another spelling
        ('ab', 'abc', None),
        ('acb', 'abc', 1),
        ('aCb', 'abc', 2),  # one is spelled otherwise, and sorted to another place
        ('ac', 'abc', 1),
        ('', 'abc', None),
    ],
)
def test_the_first_class_that_has_another_label(names, known, label):
    assert first_moved(names, known) == label
