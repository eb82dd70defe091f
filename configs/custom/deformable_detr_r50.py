_base_ = ['../_base_/detectors/deformable_detr_r50.py']

model = dict(backbone=dict(init_cfg=None))
# starts from MMDetection's detector of COCO (50 epochs) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/deformable_detr/'
    'deformable-detr_r50_16xb2-50e_coco/'
    'deformable-detr_r50_16xb2-50e_coco_20221029_210934-6bc7d21b.pth'
)
train_cfg = _base_.long_tail_train_cfg
param_scheduler = _base_.long_tail_schedule
default_hooks = _base_.long_tail_checkpoints
