_base_ = ['./mask_rcnn_r18_softmax_demo.py']

model = dict(roi_head=dict(bbox_head=dict(adjustment=dict(type='IIF', link='raw', count='image'))))
