_base_ = ['./resnext50_softmax.py', '../_base_/methods/crt.py']

# second stage on resnext50_softmax.py
model = _base_.crt.model
train_dataloader = _base_.crt.train_dataloader
train_cfg = _base_.crt.train_cfg
param_scheduler = _base_.crt.param_scheduler
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/resnext50_softmax',
        config='configs/imagenet_lt/resnext50_softmax.py',
        drop=['head.fc'],
    ),
]
