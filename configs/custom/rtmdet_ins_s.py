_base_ = ['../_base_/detectors/rtmdet_ins_s.py']

model = dict(backbone=dict(init_cfg=None))
# starts from MMDetection's detector of COCO (300 epochs) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/rtmdet/'
    'rtmdet-ins_s_8xb32-300e_coco/'
    'rtmdet-ins_s_8xb32-300e_coco_20221121_212604-fdc5d7ec.pth'
)
train_cfg = _base_.long_tail_train_cfg
param_scheduler = _base_.long_tail_schedule
default_hooks = _base_.long_tail_checkpoints
# the last epochs without mosaic and mixup
custom_hooks = [
    dict(hook, switch_epoch=10) if hook.type == 'PipelineSwitchHook' else hook
    for hook in _base_.custom_hooks
]
