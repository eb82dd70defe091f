_base_ = ['./mask_rcnn_r50_softmax.py']

# balanced softmax (arXiv 2007.10740)
model = dict(roi_head=dict(bbox_head=dict(adjustment=dict(type='PriorShift', stage='train'))))
