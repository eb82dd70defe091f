_base_ = ['./_base_/detector_demo.py']

model = dict(
    type='RetinaNet',
    neck=dict(
        type='FPN',
        in_channels=[32, 64, 128],
        out_channels=64,
        start_level=1,
        num_outs=2,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
    ),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=30,
        in_channels=64,
        stacked_convs=2,
        feat_channels=64,
        # anchors of 16, 23, 32 and 45 pixels
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,
            scales_per_octave=2,
            ratios=[0.5, 1.0, 2.0],
            strides=[8, 16],
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0, 1.0, 1.0, 1.0]
        ),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=1e-4,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=100,
    ),
)
# the classifier alone is new
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'retina_cls': dict(lr_mult=5.0)}))
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
