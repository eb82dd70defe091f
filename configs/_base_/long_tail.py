# what takes the place of COCO in a config of MMDetection: under names that none of its configs has,
# because the files of a _base_ list must not share any
custom_imports = dict(imports=['lt_det'], allow_failed_imports=False)
# the files are set by the config that has the data
long_tail_data = dict(
    type='LongTailLVISDataset', data_root='', ann_file='', data_prefix=dict(img='')
)
# new workers every epoch; what a batch holds does not depend on them: see EpochSeedHook
long_tail_train = dict(
    persistent_workers=False,
    pin_memory=True,
    worker_init_fn=dict(type='seed_worker'),
    dataset=long_tail_data,
)
long_tail_val = dict(persistent_workers=False, dataset=long_tail_data)
long_tail_metric = dict(_delete_=True, type='LongTailLVISMetric', ann_file='')
long_tail_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
]
# 12 epochs for own data, from a detector of COCO; 'lt_det init' takes more for few images
long_tail_train_cfg = dict(
    _delete_=True, type='EpochBasedTrainLoop', max_epochs=12, val_interval=12
)
long_tail_schedule = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
long_tail_checkpoints = dict(
    checkpoint=dict(_delete_=True, type='CheckpointHook', interval=1, max_keep_ckpts=2)
)
randomness = dict(seed=0)
