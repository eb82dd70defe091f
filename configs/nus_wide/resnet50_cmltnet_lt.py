_base_ = ['./resnet50_softmax_lt.py']

# alignment=False, inference=False, fusion=False turn parts off; described=0.5 of the training set
# hides the words of half its images
model = dict(
    head=dict(
        type='CrossModalHead',
        num_words=1000,
        cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
        adjustment=dict(type='PriorShift', tau=1.0, stage='train'),
    )
)
custom_hooks = [
    dict(type='ClassFrequencyHook'),
    dict(type='WordsHook'),
    dict(type='ModuleEpochHook'),
    dict(type='EpochSeedHook'),
    dict(type='ReportHook'),
]
val_evaluator = [dict(type='LongTailAccuracy'), dict(type='WordRetrieval')]
test_evaluator = val_evaluator
