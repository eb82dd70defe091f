_base_ = ['./_base_/detector_demo.py']

channels = 64
attention = dict(embed_dims=channels, num_heads=4, dropout=0.0)
deformable = dict(embed_dims=channels, num_heads=4, num_levels=3, num_points=4, dropout=0.0)
feedforward = dict(embed_dims=channels, feedforward_channels=128, ffn_drop=0.0)
model = dict(
    type='DINO',
    num_queries=40,
    with_box_refine=True,
    as_two_stage=True,
    backbone=dict(out_indices=(1, 2)),
    neck=dict(
        type='ChannelMapper',
        in_channels=[64, 128],
        kernel_size=1,
        out_channels=channels,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=8),
        num_outs=3,
    ),
    encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=deformable, ffn_cfg=feedforward)),
    decoder=dict(
        num_layers=2,
        return_intermediate=True,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=deformable, ffn_cfg=feedforward),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=channels // 2, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type='DINOHead',
        num_classes=30,
        embed_dims=channels,
        sync_cls_avg_factor=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=10),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=100),
)
# the classifier alone is new
optim_wrapper = dict(
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(custom_keys={'cls_branches': dict(lr_mult=5.0)}),
)
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
