# imbalance factor 100; others: --cfg-options train_dataloader.dataset.imbalance_factor=10
data_preprocessor = dict(
    num_classes=100,
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
    to_rgb=False,
)

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    pin_memory=True,
    dataset=dict(
        type='CIFAR100LT',
        data_root='data/cifar100',
        split='train',
        imbalance_factor=100,
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='seed_worker'),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    pin_memory=True,
    dataset=dict(
        type='CIFAR100LT',
        data_root='data/cifar100',
        split='test',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
