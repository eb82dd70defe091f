_base_ = ['./mask_rcnn_r50_softmax.py', '../_base_/models/resnext101.py']

model = dict(backbone=_base_.x101_32x4d)
