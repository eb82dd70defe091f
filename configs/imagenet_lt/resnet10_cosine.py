_base_ = ['./resnet10_softmax.py']

model = dict(head=dict(cls_predictor_cfg=dict(type='CosineLinear', scale=16.0)))
