# arXiv 2209.04861: 400 epochs, 4 GPUs x 16 images
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=20)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0001))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[360, 380], gamma=0.01)]
auto_scale_lr = dict(enable=False, base_batch_size=64)
