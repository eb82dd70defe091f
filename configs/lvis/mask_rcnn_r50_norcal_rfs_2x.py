_base_ = ['./mask_rcnn_r50_softmax_rfs_2x.py']

# NorCal (arXiv 2107.02170); gamma is ours, chosen on glyphs: sweep it on training data
# at test alone: evaluates a checkpoint of mask_rcnn_r50_softmax_rfs_2x.py, nothing to train
model = dict(roi_head=dict(bbox_head=dict(adjustment=dict(type='NorCal', gamma=0.6))))
