_base_ = ['./seresnext50_cosine_200e.py', '../_base_/methods/iif_decoupled.py']

# second stage on seresnext50_cosine_200e.py
model = _base_.iif_decoupled.model
train_cfg = _base_.iif_decoupled.train_cfg
optim_wrapper = _base_.iif_decoupled.optim_wrapper
param_scheduler = _base_.iif_decoupled.param_scheduler
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/seresnext50_cosine_200e',
        config='configs/imagenet_lt/seresnext50_cosine_200e.py',
    ),
]
