_base_ = ['../_base_/detectors/retinanet_r50.py']

model = dict(backbone=dict(init_cfg=None))
# starts from MMDetection's detector of COCO (3x) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/retinanet/'
    'retinanet_r50_fpn_mstrain_3x_coco/'
    'retinanet_r50_fpn_mstrain_3x_coco_20210718_220633-88476508.pth'
)
train_cfg = _base_.long_tail_train_cfg
param_scheduler = _base_.long_tail_schedule
default_hooks = _base_.long_tail_checkpoints
