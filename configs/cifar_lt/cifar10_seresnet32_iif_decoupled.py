_base_ = ['./cifar10_seresnet32_cosine.py']

# second stage on cifar10_seresnet32_cosine.py, all frozen but the classifier (arXiv 2209.04861)
model = dict(
    backbone=dict(frozen_stages=3),
    head=dict(adjustment=dict(type='IIF', link='smooth')),
)
train_cfg = dict(max_epochs=20, val_interval=20)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=20)]
custom_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='ModuleEpochHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/cifar10_seresnet32_cosine',
        config='configs/cifar_lt/cifar10_seresnet32_cosine.py',
    ),
]
