_base_ = ['./resnet50_softmax.py']

model = dict(
    neck=None,
    head=dict(type='CAMCClsHead', cls_predictor_cfg=dict(type='CosineLinear', scale=16.0)),
)
