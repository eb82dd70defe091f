_base_ = ['./resnet50_softmax_lt.py']

model = dict(
    head=dict(
        cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
        adjustment=dict(type='IIF', link='smooth', norm='mean'),
    )
)
