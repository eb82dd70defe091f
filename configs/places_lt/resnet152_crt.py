_base_ = ['./resnet152_softmax.py', '../_base_/methods/crt.py']

# second stage on resnet152_softmax.py
model = _base_.crt.model
train_dataloader = _base_.crt.train_dataloader
train_cfg = _base_.crt.train_cfg
param_scheduler = _base_.crt.param_scheduler
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/resnet152_softmax',
        config='configs/places_lt/resnet152_softmax.py',
        drop=['head.fc'],
    ),
]
