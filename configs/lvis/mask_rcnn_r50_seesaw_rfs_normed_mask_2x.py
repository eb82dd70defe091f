_base_ = ['./mask_rcnn_r50_seesaw_rfs_2x.py']

model = dict(roi_head=dict(mask_head=dict(predictor_cfg=dict(type='NormedConv2d', temperature=20))))
