_base_ = ['./resnet50_softmax.py']

# projection 2048-2048-1024, temperature 0.07, weight 0.35: Zhu et al., arXiv 2207.09052
model = dict(
    type='SMCLClassifier',
    target='hard',
    contrast=dict(
        hidden_channels=2048,
        out_channels=1024,
        loss=dict(type='BalancedContrastiveLoss', temperature=0.07, loss_weight=0.35),
    ),
)

clean = [
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
]
masked = [*clean, dict(type='SaliencyMask', fill='background')]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MaskedMultiView', transforms=[clean, masked], num_views=[1, 2]),
    dict(type='PackInputs', algorithm_keys=['visible_share']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
