_base_ = ['../_base_/datasets/glyph_words.py', '../_base_/classification_runtime.py']

# three stages of a ResNet-10 of half width; the last map is 3 x 3
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='LongTailResNet',
        depth=10,
        stem_channels=32,
        base_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LongTailClsHead',
        num_classes=40,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss'),
    ),
)

# ours, as in benchmarks/methods/cmltnet.py
train_cfg = dict(by_epoch=True, max_epochs=32, val_interval=8)
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, end=32),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
