_base_ = ['./cifar100_resnet32_softmax.py']

# temperature 0.1 and weight 0.6 on CIFAR: Zhu et al., arXiv 2207.09052; the projection is ours
model = dict(
    type='SMCLClassifier',
    contrast=dict(
        hidden_channels=512,
        out_channels=128,
        loss=dict(type='BalancedContrastiveLoss', temperature=0.1, loss_weight=0.6),
    ),
)

clean = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
masked = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    # filled with the mean of data_preprocessor; no larger map than the image
    dict(
        type='SaliencyMask',
        saliency=dict(type='SpectralResidual', side=32, sigma=2.0),
        fill=[129.304, 124.070, 112.434],
    ),
]
train_pipeline = [
    dict(type='MaskedMultiView', transforms=[clean, masked], num_views=[1, 2]),
    dict(type='PackInputs', algorithm_keys=['visible_share']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
