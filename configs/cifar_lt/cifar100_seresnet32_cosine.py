_base_ = [
    '../_base_/models/seresnet32_cifar_cls.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/iif_cifar_400e.py',
    '../_base_/classification_runtime.py',
]

# arXiv 2209.04861: cosine classifier, auto-augment, mixup 0.2
model = dict(
    head=dict(
        num_classes=100,
        cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
        loss=dict(type='CrossEntropyLoss', use_soft=True),
    ),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.2)),
)
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    # MMPretrain has no policies of CIFAR
    dict(type='AutoAugment', policies='imagenet', hparams=dict(pad_val=128)),
    dict(type='PackInputs'),
]
# 4 GPUs x 16 images
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
