_base_ = ['./mask_rcnn_r50_iif_rfs.py']

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
