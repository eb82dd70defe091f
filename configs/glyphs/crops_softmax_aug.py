_base_ = ['./crops_softmax.py']

# RandAugment without mirroring and large rotations, which make another glyph, and mixup
policies = [
    dict(type='AutoContrast'),
    dict(type='Brightness', magnitude_range=(0, 0.6), random_negative_prob=0.5),
    dict(type='ColorTransform', magnitude_range=(0, 0.6), random_negative_prob=0.5),
    dict(type='Contrast', magnitude_range=(0, 0.6), random_negative_prob=0.5),
    dict(type='Rotate', magnitude_range=(0, 15), random_negative_prob=0.5),
    dict(type='Shear', magnitude_range=(0, 0.2), random_negative_prob=0.5),
    dict(type='Translate', magnitude_range=(0, 0.15), random_negative_prob=0.5),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=32, padding=4, padding_mode='reflect'),
    dict(type='RandAugment', policies=policies, num_policies=1, magnitude_level=7),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    head=dict(loss=dict(use_soft=True)), train_cfg=dict(augments=dict(type='Mixup', alpha=0.2))
)
