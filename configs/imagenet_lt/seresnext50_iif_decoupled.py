_base_ = ['./seresnext50_cosine_200e.py']

# second stage on seresnext50_cosine_200e.py, all frozen but the classifier (arXiv 2209.04861)
model = dict(
    backbone=dict(frozen_stages=4),
    head=dict(adjustment=dict(type='IIF', link='smooth')),
)
train_cfg = dict(max_epochs=5, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=2e-5))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=5)]
custom_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='ModuleEpochHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/seresnext50_cosine_200e',
        config='configs/imagenet_lt/seresnext50_cosine_200e.py',
    ),
]
