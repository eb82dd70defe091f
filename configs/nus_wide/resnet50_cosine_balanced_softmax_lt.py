_base_ = ['./resnet50_softmax_lt.py']

model = dict(
    head=dict(
        cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
        adjustment=dict(type='PriorShift', tau=1.0, stage='train'),
    )
)
