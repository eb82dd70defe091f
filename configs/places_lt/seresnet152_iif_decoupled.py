_base_ = ['./seresnet152_cosine.py', '../_base_/methods/iif_decoupled.py']

# second stage on seresnet152_cosine.py
model = _base_.iif_decoupled.model
train_cfg = _base_.iif_decoupled.train_cfg
optim_wrapper = _base_.iif_decoupled.optim_wrapper
param_scheduler = _base_.iif_decoupled.param_scheduler
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/seresnet152_cosine',
        config='configs/places_lt/seresnet152_cosine.py',
    ),
]
