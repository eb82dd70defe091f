_base_ = ['./lvis_v1_instance.py']

# python tools/dataset/make_glyphs.py --size demo --out data/glyphs/demo
data_root = 'data/glyphs/demo/'
image_size = (224, 224)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadCompactAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    # no flip: a mirrored glyph is another glyph
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadCompactAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    pin_memory=True,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/glyphs_train.json',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    pin_memory=True,
    dataset=dict(
        data_root=data_root, ann_file='annotations/glyphs_val.json', pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator
