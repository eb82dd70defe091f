# imbalance factor 100; others: --cfg-options train_dataloader.dataset.imbalance_factor=10
data_preprocessor = dict(
    num_classes=10,
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
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
        type='CIFAR10LT',
        data_root='data/cifar10',
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
        type='CIFAR10LT',
        data_root='data/cifar10',
        split='test',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
