_base_ = ['./cifar100_resnet32_softmax.py', '../_base_/methods/crt.py']

# second stage on cifar100_resnet32_softmax.py
model = dict(backbone=dict(frozen_stages=3))
train_dataloader = _base_.crt.train_dataloader
train_cfg = _base_.crt.train_cfg
param_scheduler = _base_.crt.param_scheduler
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/cifar100_resnet32_softmax',
        config='configs/cifar_lt/cifar100_resnet32_softmax.py',
        drop=['head.fc'],
    ),
]
