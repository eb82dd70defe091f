# ours: fine-tuning of ImageNet weights, 256 images per iteration
train_cfg = dict(by_epoch=True, max_epochs=60, val_interval=5)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=60)]
auto_scale_lr = dict(enable=False, base_batch_size=256)
