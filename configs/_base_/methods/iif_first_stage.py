# first stage of IIF's classifiers (arXiv 2209.04861): cosine classifier and mixup 0.2
cosine_head = dict(
    cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
    loss=dict(type='CrossEntropyLoss', use_soft=True),
)
mixup = dict(augments=dict(type='Mixup', alpha=0.2))
