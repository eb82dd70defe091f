_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn_lvis.py',
    '../_base_/datasets/lvis_v1_instance_rfs.py',
    '../_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
]
