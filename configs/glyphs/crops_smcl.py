_base_ = ['./crops_softmax.py']

model = dict(
    type='SMCLClassifier',
    target='hard',
    contrast=dict(
        out_channels=64,
        loss=dict(type='BalancedContrastiveLoss', temperature=0.1, loss_weight=0.6),
    ),
)

clean = [dict(type='RandomCrop', crop_size=32, padding=4, padding_mode='reflect')]
# no larger map than the image
mask = dict(
    type='SaliencyMask',
    saliency=dict(type='SpectralResidual', side=32, sigma=2.0),
    fill='background',
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MaskedMultiView', transforms=[clean, [*clean, mask]], num_views=[1, 2]),
    dict(type='PackInputs', algorithm_keys=['visible_share']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
