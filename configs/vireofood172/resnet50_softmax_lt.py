_base_ = [
    '../_base_/models/resnet50_cls.py',
    '../_base_/datasets/vireofood172_lt.py',
    '../_base_/schedules/cross_modal_60e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    head=dict(num_classes=172),
)
