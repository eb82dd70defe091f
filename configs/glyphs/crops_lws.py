_base_ = ['./crops_softmax.py', '../_base_/methods/lws.py']

# second stage on crops_softmax.py
model = dict(backbone=dict(frozen_stages=3), head=_base_.lws_head)
train_dataloader = _base_.crt.train_dataloader
train_cfg = dict(max_epochs=3, val_interval=3)
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = [dict(_base_.crt.param_scheduler[0], end=3)]
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/crops_softmax',
        config='configs/glyphs/crops_softmax.py',
    ),
]
