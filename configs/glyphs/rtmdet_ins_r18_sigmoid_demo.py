_base_ = ['./_base_/detector_demo.py']

# batches of 4 are too small for batch statistics
norm_cfg = dict(type='GN', num_groups=8, requires_grad=True)
act_cfg = dict(type='SiLU', inplace=True)
model = dict(
    type='RTMDet',
    neck=dict(
        type='CSPNeXtPAFPN',
        in_channels=[32, 64, 128],
        out_channels=32,
        num_csp_blocks=1,
        expand_ratio=0.5,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    ),
    bbox_head=dict(
        type='RTMDetInsSepBNHead',
        num_classes=30,
        in_channels=32,
        stacked_convs=2,
        share_conv=True,
        pred_kernel_size=1,
        feat_channels=32,
        act_cfg=act_cfg,
        norm_cfg=norm_cfg,
        # masks have the first of the strides
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[4, 8, 16]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_mask=dict(type='DiceLoss', loss_weight=2.0, eps=5e-6, reduction='mean'),
    ),
    train_cfg=dict(
        # about half of RTMDet's 13: objects this small have few cells
        assigner=dict(type='DynamicSoftLabelAssigner', topk=6),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=1e-4,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100,
        mask_thr_binary=0.5,
    ),
)
# the classifier alone is new
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'rtm_cls': dict(lr_mult=5.0)}, bypass_duplicate=True)
)
