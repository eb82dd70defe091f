_base_ = [
    '../_base_/models/cascade_mask_rcnn_r50_fpn_lvis_iif.py',
    '../_base_/datasets/lvis_v1_instance_rfs.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
