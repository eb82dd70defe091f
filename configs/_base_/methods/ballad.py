# BALLAD (Ma et al., arXiv 2111.14745), numbers as in its code where nothing else is said.
# One command runs phase A, then B. Another choice: --cfg-options "run=[zero_shot]"
_base_ = ['../classification_runtime.py']

runner_type = 'PhaseRunner'
run = ['phase_a', 'phase_b']

model = dict(
    type='BALLAD',
    clip=dict(name='RN50-quickgelu', pretrained='openai'),
    head=dict(type='TextClsHead', loss=dict(type='CrossEntropyLoss')),
    phase='A',
    templates='a photo of a {}.',
    ratio=0.2,
    scale=100.0,
    precision='bf16',
    # ours: texts encoded at a time, which bounds the memory of phase A
    text_chunk=250,
)

train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=5)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=1e-5, momentum=0.9, weight_decay=5e-4))
# by epoch: the last one still has a rate above 0
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=50)]
# the model of the best validation is kept beside the latest
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1'))
auto_scale_lr = dict(enable=False, base_batch_size=512)

phases = dict(
    phase_a=dict(extra_hooks=[dict(type='ExportClipHook')]),
    phase_b=dict(
        after='phase_a',
        model=dict(phase='B'),
        # others: mode=square_root, mode=mixed
        train_dataloader=dict(
            sampler=dict(_delete_=True, type='LongTailSampler', mode='class_balanced')
        ),
        train_cfg=dict(max_epochs=10, val_interval=1),
        optim_wrapper=dict(optimizer=dict(lr=0.2)),
        param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=True, end=10)],
        # ours: as many augmentations as epochs
        extra_hooks=[dict(type='FeatureCacheHook', views=10)],
    ),
    zero_shot=dict(train=False, model=dict(phase='zero_shot')),
    # ours: a linear classifier of the frozen features, with the schedule of phase B
    linear_probe=dict(
        model=dict(phase='linear_probe', head=dict(type='LongTailClsHead')),
        train_cfg=dict(max_epochs=10, val_interval=1),
        optim_wrapper=dict(optimizer=dict(lr=0.2)),
        param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=True, end=10)],
        extra_hooks=[dict(type='FeatureCacheHook', views=10)],
    ),
)

# images of 224 pixels, resized as open_clip does
clip_preprocessor = dict(_delete_=True, type='ClipDataPreprocessor')
clip_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.5, 1.0),
        interpolation='bicubic',
        backend='pillow',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackInputs'),
]
clip_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=224, edge='short', interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
