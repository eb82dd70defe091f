_base_ = ['./mask_rcnn_r50_softmax.py']

model = dict(roi_head=dict(bbox_head=dict(cls_predictor_cfg=dict(type='CosineLinear', scale=20.0))))
