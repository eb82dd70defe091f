_base_ = ['./_base_/detector_demo.py']

# learns little in the two epochs of the base: it starts from a backbone, its queries from nothing
channels = 64
strides = [8, 16]
proposals = 40
stages = 2
relu = dict(type='ReLU', inplace=True)
costs = [
    dict(type='FocalLossCost', weight=2.0),
    dict(type='BBoxL1Cost', weight=5.0, box_format='xyxy'),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
model = dict(
    type='SparseRCNN',
    neck=dict(
        type='FPN', in_channels=[32, 64, 128], out_channels=channels, start_level=1, num_outs=2
    ),
    rpn_head=dict(
        type='EmbeddingRPNHead', num_proposals=proposals, proposal_feature_channel=channels
    ),
    roi_head=dict(
        type='SparseRoIHead',
        num_stages=stages,
        stage_loss_weights=[1] * stages,
        proposal_feature_channel=channels,
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1),
            out_channels=channels,
            featmap_strides=strides,
            # from level to level at 28 pixels
            finest_scale=14,
        ),
        bbox_head=[
            dict(
                type='DIIHead',
                num_classes=30,
                num_ffn_fcs=2,
                num_heads=4,
                num_cls_fcs=1,
                num_reg_fcs=2,
                feedforward_channels=128,
                in_channels=channels,
                dropout=0.0,
                ffn_act_cfg=relu,
                dynamic_conv_cfg=dict(
                    type='DynamicConv',
                    in_channels=channels,
                    feat_channels=32,
                    out_channels=channels,
                    input_feat_shape=7,
                    act_cfg=relu,
                    norm_cfg=dict(type='LN'),
                ),
                loss_bbox=dict(type='L1Loss', loss_weight=5.0),
                loss_iou=dict(type='GIoULoss', loss_weight=2.0),
                loss_cls=dict(
                    type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0
                ),
                bbox_coder=dict(
                    type='DeltaXYWHBBoxCoder',
                    clip_border=False,
                    target_means=[0.0] * 4,
                    target_stds=[0.5, 0.5, 1.0, 1.0],
                ),
            )
            for _ in range(stages)
        ],
    ),
    train_cfg=dict(
        rpn=None,
        rcnn=[
            dict(
                assigner=dict(type='HungarianAssigner', match_costs=costs),
                sampler=dict(type='PseudoSampler'),
                pos_weight=1,
            )
            for _ in range(stages)
        ],
    ),
    test_cfg=dict(rpn=None, rcnn=dict(max_per_img=100)),
)
# the classifier alone is new
optim_wrapper = dict(
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys={'fc_cls': dict(lr_mult=5.0)}),
)
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
