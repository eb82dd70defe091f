_base_ = ['./words_softmax.py']

# those of the names of 40 letters with marks, and 16 of colour, texture and size
model = dict(
    head=dict(
        type='CrossModalHead',
        num_words=37,
        embed_dims=128,
        word_weight=0.2,
        word_vectors=dict(width=128),
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
