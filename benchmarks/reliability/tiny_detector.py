"""A tiny detector on glyphs, and the state that its training leaves."""

from __future__ import annotations

import json
from pathlib import Path

from origin import ROOT

CONFIG = """
_base_ = ['{root}/configs/glyphs/mask_rcnn_r18_softmax_demo.py']
data_root = '{data}/'
load_from = None
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(
            in_channels=16, fc_out_channels=16, num_classes=8,
            adjustment=dict(type='IIF', link='raw'),
        ),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=8),
    ),
    test_cfg=dict(rpn=dict(max_per_img=30), rcnn=dict(score_thr=0.0, max_per_img=20)),
)
train_dataloader = dict(
    batch_size=2, num_workers=1,
    dataset=dict(data_root=data_root, ann_file='annotations/train.json'),
)
val_dataloader = dict(
    num_workers=1, persistent_workers=False,
    dataset=dict(data_root=data_root, ann_file='annotations/val.json'),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(checkpoint=dict({checkpoint}))
custom_hooks = [
    dict(type='ClassFrequencyHook', empty_classes='warn'),
    dict(type='EpochSeedHook'),
    dict(type='EMAHook', momentum=0.01),
    dict(type='ReportHook'),
]
"""


def config_text(data: str | Path, checkpoint: str) -> str:
    """The config of two epochs; ``checkpoint``: arguments of the CheckpointHook."""
    return CONFIG.format(root=ROOT, data=data, checkpoint=checkpoint)


def make_data(folder: Path) -> Path:
    """Six training images and four others of the glyphs."""
    from lt_det.datasets.glyphs import make_glyphs

    data = make_glyphs(folder / 'glyphs', size='tiny', progress=False)
    for part, number in (('train', 6), ('val', 4)):
        content = json.loads((data / f'annotations/glyphs_{part}.json').read_text())
        content['images'] = content['images'][:number]
        shown = {image['id'] for image in content['images']}
        content['annotations'] = [a for a in content['annotations'] if a['image_id'] in shown]
        (data / f'annotations/{part}.json').write_text(json.dumps(content))
    return data


def state(folder: Path) -> tuple[int, dict]:
    """Iteration and tensors of the latest checkpoint, scaler too; (0, {}) without one."""
    import torch

    from lt_det.engine.checkpoint_hook import latest_checkpoint

    path = latest_checkpoint(folder)
    if path is None:
        return 0, {}
    checkpoint = torch.load(path, weights_only=False)
    averages = {f'ema.{key}': value for key, value in checkpoint['ema_state_dict'].items()}
    scaler = checkpoint['optimizer'].get('loss_scaler', {})
    numbers = {f'scaler.{key}': torch.tensor(value) for key, value in scaler.items()}
    return checkpoint['meta']['iter'], {**checkpoint['state_dict'], **averages, **numbers}
