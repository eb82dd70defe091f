_base_ = ['./crops_softmax.py']

# second stage on the frozen network of crops_softmax.py (Kang et al., arXiv 1910.09217)
model = dict(backbone=dict(frozen_stages=3))
train_dataloader = dict(sampler=dict(type='LongTailSampler', mode='class_balanced', _delete_=True))
train_cfg = dict(max_epochs=3, val_interval=3)
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, end=3),
]
custom_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='ModuleEpochHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/crops_softmax',
        config='configs/glyphs/crops_softmax.py',
        drop=['head.fc'],
    ),
]
