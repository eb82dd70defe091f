_base_ = [
    '../_base_/models/cascade_mask_rcnn_r50_fpn_lvis.py',
    '../_base_/datasets/lvis_v0.5_instance.py',
    '../_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
    '../_base_/methods/iif.py',
]

# in all stages; LVIS v0.5 has 1230 classes
model = dict(
    roi_head=dict(
        bbox_head=[
            dict(head, num_classes=1230, adjustment=_base_.iif)
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(num_classes=1230),
    ),
    test_cfg=_base_.iif_test_cfg,
)
