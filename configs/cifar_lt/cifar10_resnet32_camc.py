_base_ = ['./cifar10_resnet32_softmax.py']

model = dict(
    neck=None,
    head=dict(
        type='CAMCClsHead',
        calibration=dict(embed_channels=64),
        cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
    ),
)
