_base_ = ['./mask_rcnn_r50_softmax_2x.py', '../_base_/methods/seesaw.py']

model = _base_.seesaw_model
