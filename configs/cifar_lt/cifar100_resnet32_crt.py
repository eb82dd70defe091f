_base_ = ['./cifar100_resnet32_softmax.py']

# second stage on the frozen network of cifar100_resnet32_softmax.py (Kang et al., arXiv 1910.09217)
model = dict(backbone=dict(frozen_stages=3))
train_dataloader = dict(sampler=dict(type='LongTailSampler', mode='class_balanced', _delete_=True))
train_cfg = dict(max_epochs=10, val_interval=10)
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, end=10),
]
custom_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='ModuleEpochHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
    dict(
        type='FirstStageHook',
        work_dir='work_dirs/cifar100_resnet32_softmax',
        config='configs/cifar_lt/cifar100_resnet32_softmax.py',
        drop=['head.fc'],
    ),
]
