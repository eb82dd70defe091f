# SMCL on images of 32 pixels: temperature 0.1 and weight 0.6 on CIFAR of Zhu et al.
# (arXiv 2207.09052); the projection is ours
smcl_model = dict(
    type='SMCLClassifier',
    target='hard',
    contrast=dict(
        hidden_channels=512,
        out_channels=128,
        loss=dict(type='BalancedContrastiveLoss', temperature=0.1, loss_weight=0.6),
    ),
)
smcl_clean = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
smcl_varied = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
]
# no larger map than the image
smcl_mask = dict(
    type='SaliencyMask',
    saliency=dict(type='SpectralResidual', side=32, sigma=2.0),
    fill='background',
)
