_base_ = ['./mask_rcnn_r50_iif.py']

model = dict(
    roi_head=dict(bbox_head=dict(cls_predictor_cfg=dict(type='NormedLinear', temperature=8)))
)
