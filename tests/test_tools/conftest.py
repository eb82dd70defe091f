"""A small Mask R-CNN on tiny glyphs, run through the command line tools."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .. import tool_process
from ..tool_process import ROOT

CONFIG = """
_base_ = ['{base}']
data_root = '{data}/'
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(base_channels=16, stem_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(
            in_channels=32,
            fc_out_channels=64,
            num_classes=8,
            adjustment=dict(type='IIF', link='raw', count='image'),
        ),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(num_convs=1, in_channels=32, conv_out_channels=32, num_classes=8),
    ),
    test_cfg=dict(rpn=dict(max_per_img=50), rcnn=dict(score_thr=0.01, max_per_img=30)),
)
train_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, indices=48)
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=10)]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=-1))
"""


def run(tool: str, *arguments, **kwargs) -> subprocess.CompletedProcess:
    """A tool in a process of its own, forked from one that has imported what it imports."""
    return tool_process.run(ROOT / 'tools' / tool, *arguments, **kwargs)


def run_new(tool: str, *arguments, **kwargs) -> subprocess.CompletedProcess:
    """A tool or launch script in a new process, as a user starts it."""
    return tool_process.run_new(ROOT / 'tools' / tool, *arguments, **kwargs)


def losses(work_dir: Path) -> dict[int, float]:
    """Total loss by iteration, of the latest run in a work dir."""
    log = max(work_dir.glob('*/vis_data/scalars.json'))
    rows = map(json.loads, log.read_text().splitlines())
    return {row['step']: row['loss'] for row in rows if 'loss' in row}


@pytest.fixture(scope='session')
def config(tiny_glyphs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('config') / 'tiny_iif.py'
    base = ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_softmax_small.py'
    path.write_text(CONFIG.format(base=base, data=tiny_glyphs))
    return path


@pytest.fixture(scope='session')
def trained(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of an uninterrupted training of two epochs: do not write into it."""
    work_dir = tmp_path_factory.mktemp('trained')
    result = run('train.py', config, '--work-dir', work_dir)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (work_dir / 'stdout.txt').write_text(result.stdout + result.stderr)
    return work_dir
