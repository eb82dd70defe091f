_base_ = ['./default_runtime.py']

default_scope = 'mmpretrain'
default_hooks = dict(
    logger=dict(interval=100),
    visualization=dict(_delete_=True, type='VisualizationHook', enable=False),
)
custom_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='ModuleEpochHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
]
# images have one size, so cuDNN may look for its fastest algorithms once; not where randomness has
# deterministic=True
env_cfg = dict(cudnn_benchmark=True)
visualizer = dict(type='UniversalVisualizer')

val_cfg = dict()
test_cfg = dict()
val_evaluator = dict(type='LongTailAccuracy')
test_evaluator = val_evaluator
