_base_ = [
    '../_base_/models/htc_r50_fpn_lvis.py',
    '../_base_/datasets/lvis_v1_instance.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
