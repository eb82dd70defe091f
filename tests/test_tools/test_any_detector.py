"""A config of MMDetection with one line more: train, test, and read by MMDetection's own API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmdet.apis import inference_detector, init_detector

from lt_det.cli.main import main

RULE = "type='LongTail', detector='RetinaNet', adjustment=dict(type='PriorShift', stage='test'),"
CONFIG = """
_base_ = ['mmdet::retinanet/retinanet_r18_fpn_1x_coco.py']
model = dict(
    {rule}
    bbox_head=dict(num_classes={classes}, stacked_convs=1, feat_channels=16, in_channels=16),
    backbone=dict(init_cfg=None, base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
)
names = {names}
data = dict(data_root={root!r}, metainfo=dict(classes=names))
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(
        **data, ann_file='annotations/glyphs_train.json', data_prefix=dict(img='')
    ),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(
        **data, ann_file='annotations/glyphs_val.json', data_prefix=dict(img=''), indices=8
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='LongTailLVISMetric',
    ann_file={root!r} + 'annotations/glyphs_val.json',
    metric='bbox',
)
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1, val_interval=5)
"""


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config(tiny_glyphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    categories = json.loads((tiny_glyphs / 'annotations/glyphs_train.json').read_text())
    names = [category['name'] for category in categories['categories']]
    path = tmp_path / 'mine.py'
    values = dict(root=f'{tiny_glyphs}/', names=names, classes=len(names))
    path.write_text(CONFIG.format(rule=RULE, **values))
    (tmp_path / 'stock.py').write_text(CONFIG.format(rule='', **values))
    monkeypatch.chdir(tmp_path)
    return str(path)


def test_one_line_around_a_config_of_mmdetection(config, tiny_glyphs, one_thread, capsys):
    options = [
        'train_dataloader.dataset.pipeline.2.scale=(64,64)',
        'val_dataloader.dataset.pipeline.1.scale=(64,64)',
        'test_dataloader.dataset.pipeline.1.scale=(64,64)',
    ]
    assert main(['train', config, '--work-dir', 'work', '--cfg-options', *options]) == 0
    checkpoint = str(Path('work', 'epoch_1.pth'))
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    assert state['statistics.image_count'].sum() > 0
    assert torch.equal(state['statistics.image_count'], state['bbox_head.adjustment.image_count'])
    capsys.readouterr()
    assert main(['test', config, checkpoint, '--work-dir', 'work', '--cfg-options', *options]) == 0

    # a rule at test around the config of MMDetection itself, which nothing else of it names
    options += ['model.type=LongTail', 'model.detector=RetinaNet']
    options += ['model.adjustment.type=PriorShift', 'model.adjustment.stage=test']
    assert main(['test', 'stock.py', checkpoint, '--cfg-options', *options]) == 0

    # MMDetection's own functions know the type after import lt_det
    detector = init_detector(config, checkpoint, device='cpu')
    assert type(detector).__name__ == 'RetinaNet' and detector.bbox_head.adjustment.ready
    picture = next(tiny_glyphs.rglob('*.png'), None) or next(tiny_glyphs.rglob('*.jpg'))
    assert inference_detector(detector, str(picture)).pred_instances is not None
