_base_ = ['./mask_rcnn_r50_softmax_rfs_cosine_normed_mask_2x.py']

# FRACAL (CVPR 2025)
# at test alone, nothing to train: evaluates a checkpoint of
# mask_rcnn_r50_softmax_rfs_cosine_normed_mask_2x.py
model = dict(roi_head=dict(bbox_head=dict(adjustment=dict(type='FRACAL', lam=2.0))))
