_base_ = ['../_base_/detectors/mask2former_r50.py']

model = dict(backbone=dict(init_cfg=None))
# starts from MMDetection's detector of COCO (50 epochs) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/'
    'mask2former_r50_8xb2-lsj-50e_coco/'
    'mask2former_r50_8xb2-lsj-50e_coco_20220506_191028-41b088b6.pth'
)
train_cfg = _base_.long_tail_train_cfg
param_scheduler = _base_.long_tail_schedule
default_hooks = _base_.long_tail_checkpoints
log_processor = dict(by_epoch=True)
