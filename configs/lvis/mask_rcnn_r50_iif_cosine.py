_base_ = ['./mask_rcnn_r50_iif.py', '../_base_/methods/normed.py']

model = dict(roi_head=dict(bbox_head=dict(cls_predictor_cfg=_base_.normed_classes)))
