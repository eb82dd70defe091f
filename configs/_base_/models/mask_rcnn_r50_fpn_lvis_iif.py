_base_ = ['./mask_rcnn_r50_fpn_lvis.py']

# IIF (arXiv 2209.04861): logits times ln(N / n_c), in training and at test
model = dict(
    roi_head=dict(bbox_head=dict(adjustment=dict(type='IIF', link='raw', count='image'))),
    # the test settings of the paper's code
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3), mask_thr_binary=0.4)),
)
