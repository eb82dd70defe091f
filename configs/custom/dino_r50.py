_base_ = ['../_base_/detectors/dino_r50.py']

model = dict(backbone=dict(init_cfg=None))
# starts from MMDetection's detector of COCO (12 epochs) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/dino/'
    'dino-4scale_r50_8xb2-12e_coco/'
    'dino-4scale_r50_8xb2-12e_coco_20221202_182705-55b2bba2.pth'
)
train_cfg = _base_.long_tail_train_cfg
param_scheduler = _base_.long_tail_schedule
default_hooks = _base_.long_tail_checkpoints
