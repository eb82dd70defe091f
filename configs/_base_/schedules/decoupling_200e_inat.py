# Kang et al., arXiv 1910.09217: 200 epochs, 512 images per iteration
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=0.0001))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=200)]
auto_scale_lr = dict(enable=False, base_batch_size=512)
