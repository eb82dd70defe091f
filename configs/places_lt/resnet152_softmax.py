_base_ = [
    '../_base_/models/resnet50_cls.py',
    '../_base_/datasets/places_lt.py',
    '../_base_/schedules/iif_places_30e.py',
    '../_base_/classification_runtime.py',
]

# ImageNet weights; only the last stage and the classifier are trained
model = dict(
    backbone=dict(
        depth=152,
        frozen_stages=3,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet152'),
    ),
    head=dict(num_classes=365),
)
