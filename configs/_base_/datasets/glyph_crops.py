# python tools/dataset/make_glyphs.py --size crops --out data/glyphs/crops
data_root = 'data/glyphs/crops/'
data_preprocessor = dict(num_classes=100, mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    # no flip: a mirrored glyph is another glyph
    dict(type='RandomCrop', crop_size=32, padding=4, padding_mode='reflect'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    pin_memory=True,
    dataset=dict(
        type='ListFileDataset',
        data_root=data_root,
        ann_file='train.txt',
        classes=data_root + 'classes.txt',
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='seed_worker'),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    pin_memory=True,
    dataset=dict(
        type='ListFileDataset',
        data_root=data_root,
        ann_file='val.txt',
        classes=data_root + 'classes.txt',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
