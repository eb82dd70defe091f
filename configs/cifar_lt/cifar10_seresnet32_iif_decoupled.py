_base_ = ['./cifar10_seresnet32_cosine.py', '../_base_/methods/iif_decoupled.py']

# second stage on cifar10_seresnet32_cosine.py
model = dict(backbone=dict(frozen_stages=3), head=_base_.iif_decoupled.model.head)
train_cfg = dict(max_epochs=20, val_interval=20)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [dict(_base_.iif_decoupled.param_scheduler[0], end=20)]
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/cifar10_seresnet32_cosine',
        config='configs/cifar_lt/cifar10_seresnet32_cosine.py',
    ),
]
