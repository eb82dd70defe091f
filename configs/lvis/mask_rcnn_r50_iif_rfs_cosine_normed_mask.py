_base_ = ['./mask_rcnn_r50_iif_rfs.py', '../_base_/methods/normed.py']

model = _base_.normed_model
