_base_ = ['./crops_smcl.py']

# masks from the model's own activation maps, on its device; the workers mask nothing
model = dict(masking=dict(type='CAMMasking', prob=0.5, fill='background'))

crop = [dict(type='RandomCrop', crop_size=32, padding=4, padding_mode='reflect')]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MaskedMultiView', transforms=[crop], num_views=[3]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
