_base_ = ['./mask_rcnn_r50_softmax_rfs_2x.py']

# the baseline of Seesaw's paper (arXiv 2008.10032): temperature 20
model = dict(
    roi_head=dict(bbox_head=dict(cls_predictor_cfg=dict(type='NormedLinear', temperature=20)))
)
