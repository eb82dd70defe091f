_base_ = ['./crops_softmax.py']

# second stage on crops_softmax.py, all frozen but the classifier (arXiv 2209.04861)
model = dict(
    backbone=dict(frozen_stages=3),
    head=dict(adjustment=dict(type='IIF', link='smooth')),
)
train_cfg = dict(max_epochs=3, val_interval=3)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=3)]
custom_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='ModuleEpochHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/crops_softmax',
        config='configs/glyphs/crops_softmax.py',
    ),
]
