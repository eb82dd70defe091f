"""The LVIS config as it stands, on a small json with all 1203 classes under the expected paths."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np

from ..test_tools.conftest import ROOT, losses, run

IMAGES = 4


def write_lvis(root: Path) -> None:
    rng = np.random.default_rng(0)
    (root / 'annotations').mkdir(parents=True)
    categories = [
        dict(id=i, name=f'class_{i}', frequency='r', image_count=1, instance_count=1)
        for i in range(1, 1204)
    ]
    for split in ('train', 'val'):
        (root / f'{split}2017').mkdir()
        images, annotations = [], []
        for image_id in range(1, IMAGES + 1):
            path = f'{split}2017/{image_id:012d}.jpg'
            cv2.imwrite(str(root / path), rng.integers(0, 255, (240, 320, 3), dtype=np.uint8))
            images.append(
                dict(
                    id=image_id,
                    width=320,
                    height=240,
                    coco_url=f'http://images.cocodataset.org/{path}',
                    neg_category_ids=[],
                    not_exhaustive_category_ids=[],
                )
            )
            for category in categories[image_id - 1 :: IMAGES]:
                x, y, side = int(rng.integers(0, 250)), int(rng.integers(0, 180)), 50
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=image_id,
                        category_id=category['id'],
                        bbox=[x, y, side, side],
                        area=side * side,
                        segmentation=[[x, y, x + side, y, x + side, y + side, x, y + side]],
                    )
                )
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'lvis_v1_{split}.json').write_text(json.dumps(content))


def test_it_trains(tmp_path):
    write_lvis(tmp_path / 'data' / 'lvis')
    # random weights, since none can be downloaded; few small images, RoIs and masks in a test
    options = [
        'model.backbone.init_cfg=None',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'train_dataloader.dataset.pipeline.2.scales=[(160,120)]',
        'train_cfg.max_epochs=1',
        'val_dataloader.dataset.indices=1',
        'val_dataloader.dataset.pipeline.1.scale=(160,120)',
        'model.train_cfg.rcnn.sampler.num=32',
        'model.test_cfg.rcnn.max_per_img=20',
        'default_hooks.logger.interval=1',
    ]
    config = ROOT / 'configs' / 'lvis' / 'mask_rcnn_r50_iif.py'
    result = run(
        'train.py', config, '--work-dir', tmp_path / 'work', '--cfg-options', *options, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr[-3000:]
    curve = losses(tmp_path / 'work')
    assert len(curve) == IMAGES // 2
    assert all(map(math.isfinite, curve.values()))
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()
    metrics = json.loads((tmp_path / 'work' / 'metrics.json').read_text())
    assert 0 <= metrics['segm_AP'] <= 1
