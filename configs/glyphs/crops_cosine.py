_base_ = ['./crops_softmax.py']

model = dict(head=dict(cls_predictor_cfg=dict(type='CosineLinear', scale=16.0)))
