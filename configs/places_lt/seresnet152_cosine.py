_base_ = [
    '../_base_/models/seresnet50_cls.py',
    '../_base_/datasets/places_lt.py',
    '../_base_/schedules/iif_places_30e.py',
    '../_base_/classification_runtime.py',
    '../_base_/methods/iif_first_stage.py',
]

# ImageNet weights; only the last stage and the classifier are trained (arXiv 2209.04861)
# no library hosts a SE-ResNet-152 in MMPretrain's names: name a checkpoint of your own
model = dict(
    backbone=dict(
        depth=152,
        frozen_stages=3,
        init_cfg=dict(
            type='Pretrained', checkpoint='data/seresnet152_imagenet.pth', prefix='backbone'
        ),
    ),
    head=dict(_base_.cosine_head, num_classes=365),
    train_cfg=_base_.mixup,
)
