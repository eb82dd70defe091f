_base_ = ['../../_base_/datasets/glyphs_instance.py', '../../_base_/default_runtime.py']

# what small detectors of other families share: the data of mask_rcnn_r18_softmax_demo.py, a budget
# python tools/dataset/make_glyphs.py --size demo --out data/glyphs/demo
data_root = 'data/glyphs/demo/'
# of images of 128, for trainings of a minute or two on a CPU core: the objects are 15 to 42 pixels
image_size = (96, 96)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = image_size
test_pipeline[1].scale = image_size
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator

# the backbone of a Mask R-CNN of other glyphs: a ResNet-18 of half width and three stages; the
# comparison starts from a whole detector of the family: benchmarks/methods/any_detector.py
load_from = '{{ fileDirname }}/../pretrained/mask_rcnn_r18_glyphs.pth'
model = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=32,
        stem_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        # what is pretrained keeps its statistics, and its first two stages as they are
        frozen_stages=2,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
    ),
)

max_epochs = 2
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    # one kernel for all parameters
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min=1e-5,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
