_base_ = ['./htc_r50_fpn_lvis.py']

# IIF (arXiv 2209.04861) in all stages
model = dict(
    roi_head=dict(
        bbox_head=[
            dict(head, adjustment=dict(type='IIF', link='raw', count='image'))
            for head in _base_.model.roi_head.bbox_head
        ]
    ),
    # the test settings of the paper's code
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3), mask_thr_binary=0.4)),
)
