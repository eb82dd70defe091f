# python tools/dataset/make_cross_modal.py vireofood172 --imbalance 100
# beside ready_chinese_food/ and SplitAndIngreLabel/; lists = 'lists/' is the whole set
data_root = 'data/vireofood172/'
lists = 'lt100/'
num_classes = 172
data_preprocessor = dict(
    num_classes=num_classes,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs', algorithm_keys=('words',)),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    # words only for the metric of retrieval: no prediction reads them
    dict(type='PackInputs', algorithm_keys=('words',)),
]
common = dict(
    type='CrossModalDataset',
    data_root=data_root,
    classes=data_root + lists + 'classes.txt',
    vocabulary=data_root + lists + 'words.txt',
)

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    pin_memory=True,
    dataset=dict(
        ann_file=lists + 'train.txt',
        word_file=lists + 'train_words.txt',
        pipeline=train_pipeline,
        **common,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='seed_worker'),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    pin_memory=True,
    dataset=dict(
        ann_file=lists + 'val.txt',
        word_file=lists + 'val_words.txt',
        pipeline=test_pipeline,
        test_mode=True,
        **common,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    pin_memory=True,
    dataset=dict(
        ann_file=lists + 'test.txt',
        word_file=lists + 'test_words.txt',
        pipeline=test_pipeline,
        test_mode=True,
        **common,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
