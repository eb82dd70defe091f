_base_ = ['./mask_rcnn_r18_softmax_demo.py']

# the link with the highest APr in benchmarks/results/methods_detection.md
model = dict(
    roi_head=dict(bbox_head=dict(adjustment=dict(type='IIF', link='smooth', count='image')))
)
