_base_ = ['./mask_rcnn_r50_softmax_rfs_2x.py']

# post-hoc logit adjustment (arXiv 2007.07314), tau 1
# at test alone: evaluates a checkpoint of mask_rcnn_r50_softmax_rfs_2x.py, nothing to train
model = dict(roi_head=dict(bbox_head=dict(adjustment=dict(type='PriorShift', stage='test'))))
