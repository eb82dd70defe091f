_base_ = ['../_base_/datasets/glyph_crops.py', '../_base_/methods/ballad.py']

# python tools/train.py configs/glyphs/ballad_clip_r14.py writes these weights
clip = dict(
    name='RN50',
    pretrained='work_dirs/ballad_clip_r14/clip.pt',
    embed_dim=128,
    vision_cfg=dict(image_size=64, layers=[1, 1, 1, 1], width=16, patch_size=None),
    text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=2, layers=2),
)
model = dict(
    clip=clip,
    head=dict(num_classes=100),
    class_names='data/glyphs/crops/classes.txt',
    # as the small CLIP is trained: a fixed scale that random towers can learn from
    templates='{}',
    scale=30.0,
    precision='fp32',
    text_chunk=None,
)
data_preprocessor = dict(_delete_=True, type='ClipDataPreprocessor')

train_pipeline = [
    dict(type='LoadImageFromFile'),
    # no flip: a mirrored glyph is another glyph
    dict(type='RandomCrop', crop_size=32, padding=4, padding_mode='reflect'),
    dict(type='Resize', scale=64, interpolation='bicubic', backend='pillow'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=64, interpolation='bicubic', backend='pillow'),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

# a tower that small needs larger steps than CLIP, and fewer of them
train_cfg = dict(max_epochs=10, val_interval=10)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=10)]
cached = [dict(type='FeatureCacheHook', views=4)]
phases = dict(
    phase_b=dict(
        extra_hooks=cached,
        train_cfg=dict(val_interval=10),
        optim_wrapper=dict(
            optimizer=dict(_delete_=True, type='SGD', lr=0.2, momentum=0.9, weight_decay=5e-4)
        ),
    ),
    linear_probe=dict(
        extra_hooks=cached,
        train_cfg=dict(val_interval=10),
        optim_wrapper=dict(
            optimizer=dict(_delete_=True, type='SGD', lr=0.2, momentum=0.9, weight_decay=5e-4)
        ),
    ),
)
