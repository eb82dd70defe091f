"""What is arranged in MMDetection itself."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import SSDHead
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData


def test_ssd_predicts():
    """Its head is asked for a loss that it does not have."""
    head = SSDHead(
        num_classes=3,
        in_channels=(4,),
        anchor_generator=dict(
            type='mmdet.SSDAnchorGenerator',
            scale_major=False,
            input_size=32,
            basesize_ratio_range=(0.2, 0.9),
            strides=[8],
            ratios=[[2]],
            min_sizes=[10],
            max_sizes=[20],
        ),
        test_cfg=ConfigDict(
            nms_pre=100,
            nms=dict(type='nms', iou_threshold=0.5),
            min_bbox_size=0,
            score_thr=0.02,
            max_per_img=20,
        ),
    )
    features = (torch.randn(1, 4, 4, 4),)
    meta = dict(img_shape=(32, 32), scale_factor=(1.0, 1.0))
    results = head.predict_by_feat(*head(features), batch_img_metas=[meta])
    assert isinstance(results[0], InstanceData)
    assert len(results[0])
    assert 0 <= int(results[0].labels.min()) <= int(results[0].labels.max()) < 3
