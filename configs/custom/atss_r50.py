_base_ = ['../_base_/detectors/atss_r50.py']

model = dict(backbone=dict(init_cfg=None))
# starts from MMDetection's detector of COCO (1x) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/atss/'
    'atss_r50_fpn_1x_coco/'
    'atss_r50_fpn_1x_coco_20200209-985f7bd0.pth'
)
train_cfg = _base_.long_tail_train_cfg
param_scheduler = _base_.long_tail_schedule
default_hooks = _base_.long_tail_checkpoints
