_base_ = ['./mask_rcnn_r50_softmax.py']

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
