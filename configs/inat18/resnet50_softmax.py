_base_ = [
    '../_base_/models/resnet50_cls.py',
    '../_base_/datasets/inat18.py',
    '../_base_/schedules/decoupling_200e_inat.py',
    '../_base_/classification_runtime.py',
]

model = dict(head=dict(num_classes=8142))
