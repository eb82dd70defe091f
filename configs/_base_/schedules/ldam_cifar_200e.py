# Cao et al., arXiv 1906.07413: 200 epochs, 128 images per iteration
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=20)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0002))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=True, end=5),
    dict(type='MultiStepLR', by_epoch=True, milestones=[160, 180], gamma=0.01),
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
