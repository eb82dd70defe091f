_base_ = [
    '../_base_/models/seresnet50_cls.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/iif_imagenet_200e.py',
    '../_base_/classification_runtime.py',
    '../_base_/methods/iif_first_stage.py',
]

# arXiv 2209.04861: auto-augment too
model = dict(head=_base_.cosine_head, train_cfg=_base_.mixup)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='AutoAugment', policies='imagenet', hparams=dict(pad_val=[104, 116, 124])),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
