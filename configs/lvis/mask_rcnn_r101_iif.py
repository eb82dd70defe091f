_base_ = ['./mask_rcnn_r50_iif.py']

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
