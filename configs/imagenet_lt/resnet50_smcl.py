_base_ = ['./resnet50_softmax.py']

# projection 2048-2048-1024, temperature 0.07, weight 0.35: Zhu et al., arXiv 2207.09052
model = dict(
    type='SMCLClassifier',
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
# filled with the mean of data_preprocessor, in the BGR of a loaded image
masked = [*clean, dict(type='SaliencyMask', fill=[103.53, 116.28, 123.675])]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MaskedMultiView', transforms=[clean, masked], num_views=[1, 2]),
    dict(type='PackInputs', algorithm_keys=['visible_share']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
