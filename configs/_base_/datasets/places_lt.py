# lists of Liu et al. (arXiv 1904.05160) beside the train/ and val/ of Places (256 x 256 pixels)
data_root = 'data/places/'
data_preprocessor = dict(
    num_classes=365, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
evaluated = dict(
    type='ListFileDataset',
    data_root=data_root,
    num_classes=365,
    pipeline=test_pipeline,
    test_mode=True,
)

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    pin_memory=True,
    dataset=dict(
        type='ListFileDataset',
        data_root=data_root,
        ann_file='Places_LT_train.txt',
        num_classes=365,
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='seed_worker'),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    pin_memory=True,
    dataset=dict(ann_file='Places_LT_val.txt', **evaluated),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    pin_memory=True,
    dataset=dict(ann_file='Places_LT_test.txt', **evaluated),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
