# backbones in place of the ResNet-50 of a detector
x101_32x4d = dict(
    type='ResNeXt',
    depth=101,
    groups=32,
    base_width=4,
    init_cfg=dict(checkpoint='open-mmlab://resnext101_32x4d'),
)
x101_64x4d = dict(
    x101_32x4d,
    groups=64,
    init_cfg=dict(checkpoint='open-mmlab://resnext101_64x4d'),
)
