_base_ = ['./mask_rcnn_r50_iif_v0.5_2x.py']

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
