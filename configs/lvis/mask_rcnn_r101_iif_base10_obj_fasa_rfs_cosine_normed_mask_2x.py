_base_ = ['./mask_rcnn_r50_iif_base10_obj_fasa_rfs_cosine_normed_mask_2x.py']

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
