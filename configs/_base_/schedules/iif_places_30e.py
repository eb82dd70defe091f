# arXiv 2209.04861: 30 epochs, 4 GPUs x 64 images
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=5)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=0.0001))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=30)]
auto_scale_lr = dict(enable=False, base_batch_size=256)
