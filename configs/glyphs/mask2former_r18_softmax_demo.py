_base_ = ['./_base_/detector_demo.py']

channels = 64
classes = 30
attention = dict(embed_dims=channels, num_heads=4, dropout=0.0, batch_first=True)
feedforward = dict(
    embed_dims=channels,
    feedforward_channels=128,
    num_fcs=2,
    ffn_drop=0.0,
    act_cfg=dict(type='ReLU', inplace=True),
)
position = dict(num_feats=channels // 2, normalize=True)
model = dict(
    type='Mask2Former',
    data_preprocessor=dict(mask_pad_value=0, pad_seg=False),
    panoptic_head=dict(
        type='Mask2FormerHead',
        in_channels=[32, 64, 128],
        strides=[4, 8, 16],
        feat_channels=channels,
        out_channels=channels,
        num_things_classes=classes,
        num_stuff_classes=0,
        num_queries=20,
        num_transformer_feat_level=2,
        pixel_decoder=dict(
            type='MSDeformAttnPixelDecoder',
            num_outs=2,
            norm_cfg=dict(type='GN', num_groups=8),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=1,
                layer_cfg=dict(
                    self_attn_cfg=dict(attention, num_levels=2, num_points=4),
                    ffn_cfg=feedforward,
                ),
            ),
            positional_encoding=position,
        ),
        enforce_decoder_input_project=False,
        positional_encoding=position,
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=3,
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feedforward),
            init_cfg=None,
        ),
        loss_cls=dict(
            type='CrossEntropyLoss',
            use_sigmoid=False,
            loss_weight=2.0,
            reduction='mean',
            class_weight=[1.0] * classes + [0.1],
        ),
        loss_mask=dict(
            type='CrossEntropyLoss', use_sigmoid=True, reduction='mean', loss_weight=5.0
        ),
        loss_dice=dict(
            type='DiceLoss',
            use_sigmoid=True,
            activate=True,
            reduction='mean',
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
    ),
    panoptic_fusion_head=dict(
        type='MaskFormerFusionHead',
        num_things_classes=classes,
        num_stuff_classes=0,
        loss_panoptic=None,
        init_cfg=None,
    ),
    train_cfg=dict(
        # of the 24 x 24 of a mask
        num_points=384,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='ClassificationCost', weight=2.0),
                dict(type='CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0),
            ],
        ),
        sampler=dict(type='MaskPseudoSampler'),
    ),
    test_cfg=dict(panoptic_on=False, semantic_on=False, instance_on=True, max_per_image=100),
    init_cfg=None,
)
# the classifier alone is new
optim_wrapper = dict(
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys={'cls_embed': dict(lr_mult=5.0)}),
)
