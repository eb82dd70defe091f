_base_ = ['./mask_rcnn_r50_softmax_rfs_2x.py']

# tau-normalisation (arXiv 1910.09217); tau is ours, the middle of the range of the paper
# at test alone: evaluates a checkpoint of mask_rcnn_r50_softmax_rfs_2x.py, nothing to train
model = dict(roi_head=dict(bbox_head=dict(adjustment=dict(type='TauNorm', tau=0.5))))
