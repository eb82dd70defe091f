_base_ = ['./resnet50_softmax.py', '../_base_/methods/crt.py']

# second stage on resnet50_softmax.py
model = _base_.crt.model
train_dataloader = _base_.crt.train_dataloader
train_cfg = dict(max_epochs=30, val_interval=30)
param_scheduler = [dict(_base_.crt.param_scheduler[0], end=30)]
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/resnet50_softmax',
        config='configs/inat18/resnet50_softmax.py',
        drop=['head.fc'],
    ),
]
