_base_ = ['./mask_rcnn_r50_softmax_cosine.py']

# class activation map calibration of RoI features (after arXiv 2108.12757; details ours)
model = dict(roi_head=dict(type='CAMCalibratedRoIHead'))
