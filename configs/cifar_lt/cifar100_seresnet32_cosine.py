_base_ = [
    '../_base_/models/seresnet32_cifar_cls.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/iif_cifar_400e.py',
    '../_base_/classification_runtime.py',
    '../_base_/methods/iif_first_stage.py',
]

# arXiv 2209.04861: auto-augment too
model = dict(head=dict(_base_.cosine_head, num_classes=100), train_cfg=_base_.mixup)
train_pipeline = [
    *_base_.train_pipeline[:2],
    # MMPretrain has no policies of CIFAR
    dict(type='AutoAugment', policies='imagenet', hparams=dict(pad_val=128)),
    _base_.train_pipeline[2],
]
# 4 GPUs x 16 images
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
