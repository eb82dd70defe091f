_base_ = ['./crops_softmax.py', '../_base_/methods/iif_decoupled.py']

# second stage on crops_softmax.py
model = dict(backbone=dict(frozen_stages=3), head=_base_.iif_decoupled.model.head)
train_cfg = dict(max_epochs=3, val_interval=3)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(_base_.iif_decoupled.param_scheduler[0], end=3)]
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/crops_softmax',
        config='configs/glyphs/crops_softmax.py',
    ),
]
