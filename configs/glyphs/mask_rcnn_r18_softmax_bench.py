_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn_lvis.py',
    '../_base_/datasets/glyphs_instance.py',
    '../_base_/default_runtime.py',
]

# group normalisation: batches of 4 are too small for batch statistics
norm_cfg = dict(type='GN', num_groups=8, requires_grad=True)

# python tools/dataset/make_glyphs.py --size bench --out data/glyphs/bench
# a ResNet-18 of half width, trained from scratch
data_root = 'data/glyphs/bench/'
classes = 60
model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, norm_cfg=norm_cfg),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        # objects are 24 to 112 pixels in images of 224
        anchor_generator=dict(scales=[4]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        # boxes and masks are shared by the classes: some have 4 images to learn them from
        bbox_head=dict(
            in_channels=64, fc_out_channels=256, num_classes=classes, reg_class_agnostic=True
        ),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            num_classes=classes,
            class_agnostic=True,
            norm_cfg=norm_cfg,
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=500, max_per_img=300),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=500, max_per_img=300),
        # as in LVIS: 5 for each of the 60 classes
        rcnn=dict(score_thr=1e-3, max_per_img=300),
    ),
)

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=8, val_interval=8)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=8,
        T_max=8,
        eta_min=1e-5,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
