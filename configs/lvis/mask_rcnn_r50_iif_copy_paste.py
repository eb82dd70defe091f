_base_ = ['./mask_rcnn_r50_softmax_copy_paste.py', '../_base_/methods/iif.py']

model = _base_.iif_model
