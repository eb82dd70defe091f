_base_ = ['./resnet50_softmax.py', '../_base_/methods/iif_decoupled.py']

# second stage on resnet50_softmax.py
model = _base_.iif_decoupled.model
train_cfg = _base_.iif_decoupled.train_cfg
optim_wrapper = _base_.iif_decoupled.optim_wrapper
param_scheduler = _base_.iif_decoupled.param_scheduler
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/resnet50_softmax',
        config='configs/inat18/resnet50_softmax.py',
    ),
]
