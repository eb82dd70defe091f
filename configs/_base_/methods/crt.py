# classifier retraining, a second stage (Kang et al., arXiv 1910.09217): on the frozen network of
# the first, a new classifier learns from batches that are balanced by class; the stages of a
# ResNet of ImageNet, and 10 epochs
crt = dict(
    model=dict(backbone=dict(frozen_stages=4)),
    train_dataloader=dict(
        sampler=dict(type='LongTailSampler', mode='class_balanced', _delete_=True)
    ),
    train_cfg=dict(max_epochs=10, val_interval=10),
    param_scheduler=[
        dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, end=10),
    ],
)
