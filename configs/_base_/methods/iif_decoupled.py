# second stage of IIF (arXiv 2209.04861): all is frozen but the classifier, which takes the rule;
# the stages of a ResNet of ImageNet, its epochs and its rate
iif_decoupled = dict(
    model=dict(
        backbone=dict(frozen_stages=4),
        head=dict(adjustment=dict(type='IIF', link='smooth')),
    ),
    train_cfg=dict(max_epochs=5, val_interval=5),
    optim_wrapper=dict(optimizer=dict(lr=2e-5)),
    param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=True, end=5)],
)
