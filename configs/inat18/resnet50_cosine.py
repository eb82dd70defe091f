_base_ = ['./resnet50_softmax.py']

model = dict(head=dict(cls_predictor_cfg=dict(type='CosineLinear', scale=16.0)))
