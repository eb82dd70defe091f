"""Names of classes follow the labels of stock data sets, which their json numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config

from lt_det.errors import BadInputError, DataWarning
from lt_det.label_order import check_order, label_order, put_in_label_order

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
