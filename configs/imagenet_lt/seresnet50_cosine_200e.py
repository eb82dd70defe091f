_base_ = [
    '../_base_/models/seresnet50_cls.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/iif_imagenet_200e.py',
    '../_base_/classification_runtime.py',
]

# arXiv 2209.04861: cosine classifier, auto-augment, mixup 0.2
model = dict(
    head=dict(
        cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
        loss=dict(type='CrossEntropyLoss', use_soft=True),
    ),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.2)),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='AutoAugment', policies='imagenet', hparams=dict(pad_val=[104, 116, 124])),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
